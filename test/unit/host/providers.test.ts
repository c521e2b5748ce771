import { describe, expect, it } from "vitest";
import { GPU_LOSSES_MAX } from "../../../src/base/limits.ts";
import { noProvider, pickProvider, wantedProviders } from "../../../src/host/providers.ts";
import type { Provider } from "../../../src/protocol/options.ts";

describe("the provider of a host", () => {
  it.each<[string, readonly Provider[] | null, readonly Provider[], boolean, Provider | null]>([
    ["is the first that works", null, ["webgpu", "wasm"], false, "webgpu"],
    ["is not a GPU emulated on the CPU", null, ["webgpu", "wasm"], true, "wasm"],
    ["is webnn before wasm where it works", null, ["webnn", "wasm"], false, "webnn"],
    ["is none where only an emulated GPU works", null, ["webgpu"], true, null],
    ["is none where nothing works", null, [], false, null],
    ["is the caller's first", ["wasm", "webgpu"], ["webgpu", "wasm"], false, "wasm"],
    ["is the caller's next where the first does not work", ["webnn", "wasm"], ["webgpu", "wasm"], false, "wasm"],
    ["is an emulated GPU where the caller asks for it", ["webgpu"], ["webgpu", "wasm"], true, "webgpu"],
    ["is none where none of the caller's works", ["webnn"], ["webgpu", "wasm"], false, null],
  ])("%s", (_, wanted, providers, softwareGpu, expected) => {
    expect(pickProvider(wanted, { providers, softwareGpu })).toBe(expected);
  });
});

describe("lost GPUs", () => {
  it.each<readonly Provider[] | null>([null, ["webgpu"], ["webnn", "wasm"]])(
    "leave %o as long as they are few",
    (wanted) => {
      for (let losses = 0; losses <= GPU_LOSSES_MAX; losses++) expect(wantedProviders(wanted, losses)).toBe(wanted);
    },
  );

  it.each<readonly Provider[] | null>([null, ["webgpu"]])("turn %o into wasm when they are too many", (wanted) => {
    expect(wantedProviders(wanted, GPU_LOSSES_MAX + 1)).toEqual(["wasm"]);
  });
});

describe("the refusal", () => {
  it.each<[readonly Provider[], string]>([
    [["webnn"], "WEBNN"],
    [["webgpu"], "WEBGPU"],
  ])("of %o names what was asked and what works, as %s", (wanted, category) => {
    const error = noProvider(wanted, { providers: ["wasm"] });
    expect(error).toMatchObject({ code: "PROVIDER_UNAVAILABLE", category });
    expect(error.message).toContain(wanted.join(", "));
    expect(error.message).toContain("(wasm does)");
  });
});
