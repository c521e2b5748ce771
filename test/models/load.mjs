/**
 * The generator for plain Node, which reads no TypeScript: vite, which is there anyway, loads it. From TypeScript, import
 * ./generate/index.ts.
 */
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";

const entry = fileURLToPath(new URL("./generate/index.ts", import.meta.url));
const { module } = /** @type {{ module: typeof import("./generate/index.ts") }} */ (await runnerImport(entry));

export const { generate, inMemory, writeModel, BENCH_100MB, LARGE_6GB } = module;
