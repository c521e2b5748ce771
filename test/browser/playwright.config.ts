import { defineConfig } from "@playwright/test";

const long = process.env["HOLDFAST_LONG"] === "1";

/** Playwright is only the test runner here: the browsers are started by our own launcher, with stock behaviour. */
export default defineConfig({
  testDir: ".",
  testMatch: "**/*.spec.ts",
  outputDir: "../../test-results",
  // One browser at a time: the tests measure processes and kill them.
  workers: 1,
  fullyParallel: false,
  // Real processes are killed on a machine that may be busy: a test gets a second try, and the runner names each that
  // needed it.
  retries: 1,
  forbidOnly: process.env["CI"] !== undefined,
  timeout: 60_000,
  globalTimeout: (long ? 170 : 72) * 60_000,
  ...(long ? {} : { grepInvert: /@long/ }),
});
