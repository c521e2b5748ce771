import { resolve } from "node:path";
import { defineConfig } from "vitest/config";

/** Unit tests and simulations run in plain Node, without the extension's build. */
export default defineConfig({
  root: resolve(import.meta.dirname, ".."),
  define: { __FAULT_HOOKS__: "true" },
  test: {
    include: ["test/unit/**/*.test.ts", "test/sim/**/*.test.ts", "test/chaos/*.test.ts"],
    testTimeout: 20_000,
    passWithNoTests: false,
  },
});
