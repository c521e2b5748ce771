import { resolve } from "node:path";
import { crx, type ManifestV3Export } from "@crxjs/vite-plugin";
import { defineConfig, type UserConfig } from "vite";
import manifest from "./manifest.json" with { type: "json" };

const at = (path: string): string => resolve(import.meta.dirname, path);
// One shared rule: onnxruntime's glue and wasm are ours to place (`?url`), or the wasm would be emitted twice.
const resolveOrt = { conditions: ["onnxruntime-web-use-extern-wasm", "import", "module", "browser", "default"] };

/** The extension. `vite build` writes dist/chrome, `--mode test` writes dist/chrome-test, which has fault hooks. */
function extension(mode: string): UserConfig {
  const test = mode === "test";
  return {
    root: at("."),
    publicDir: at("src/public"),
    plugins: [crx({ manifest: manifest as ManifestV3Export, browser: "chrome" })],
    resolve: resolveOrt,
    worker: { format: "es" },
    define: { __FAULT_HOOKS__: JSON.stringify(test) },
    build: {
      outDir: at(test ? "dist/chrome-test" : "dist/chrome"),
      emptyOutDir: true,
      target: "chrome130",
      modulePreload: false,
      rollupOptions: {
        input: ["src/bridge.html", "offscreen/host-tab.html", "offscreen/offscreen.html", "popup/consent.html"].map(at),
      },
    },
  };
}

/** The client library as one plain ES module that a page can load without a bundler. */
function client(): UserConfig {
  return {
    publicDir: false,
    build: {
      outDir: at("dist/client"),
      emptyOutDir: true,
      target: "es2022",
      lib: { entry: at("src/page/index.ts"), formats: ["es"], fileName: () => "holdfast.js" },
    },
  };
}

function demo(): UserConfig {
  return {
    root: at("src/demo"),
    publicDir: at("src/demo/public"),
    build: {
      outDir: at("dist/demo"),
      emptyOutDir: true,
      target: "es2022",
      rollupOptions: { input: ["index.html", "ocr.html", "story.html"].map((page) => at(`src/demo/${page}`)) },
    },
  };
}

export default defineConfig(({ mode }) => {
  if (mode === "client") return client();
  if (mode === "demo") return demo();
  return extension(mode);
});
