/** The examples of the seed's documents, in TypeScript, against real models and real faults. */
import { generate, inMemory } from "../models/generate/index.ts";
import { type Browser, expect, openConsentedPage, type Page, test } from "./harness/fixtures.ts";
import { HeldHost } from "./support/hold.ts";

test.describe.configure({ timeout: 300_000 });

const MOBY = "/models/moby-llama/onnx/model.onnx";
const TOKENIZER = "/models/moby-llama/tokenizer.json";
/** A few words, in the form of a BERT's tokenizer. */
const VOCAB = { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, example: 3, input: 4 };
const BERT_TOKENIZER = {
  version: "1.0",
  added_tokens: [],
  normalizer: { type: "BertNormalizer", lowercase: true },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: { type: "BertProcessing", sep: ["[SEP]", 2], cls: ["[CLS]", 1] },
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: VOCAB,
  },
};

type Library = typeof import("../../src/page/index.ts");
declare global {
  interface Window {
    seed: {
      readonly pool: InstanceType<Library["ResourcePoolBridgeIntegration"]>;
      readonly recovery: InstanceType<Library["ResourcePoolRecoveryManager"]>;
    };
  }
}

/** The seed's pool with a BERT called "bert-base-uncased", and its recovery manager. */
async function setUp(page: Page, level: "none" | "medium"): Promise<void> {
  const [part] = generate({ family: "bert" }).parts;
  if (part === undefined) throw new Error("a model without parts");
  const base64 = Buffer.from(inMemory(part).get("") ?? []).toString("base64");
  await page.evaluate(
    async (bert, json, faultToleranceLevel) => {
      const { ResourcePoolBridgeIntegration, ResourcePoolRecoveryManager } = window.holdfast;
      const pool = new ResourcePoolBridgeIntegration({
        maxConnections: 4,
        browserPreferences: { audio: "firefox", vision: "chrome", text_embedding: "edge" },
        adaptiveScaling: true,
        faultToleranceOptions: { level: faultToleranceLevel, recoveryStrategy: "progressive" },
      });
      await pool.initialize();
      const bytes = Uint8Array.from(atob(bert), (character) => character.charCodeAt(0));
      pool.registerModel("bert-base-uncased", bytes, { task: "feature-extraction", tokenizer: { json } });
      const recovery = new ResourcePoolRecoveryManager({
        connectionPool: pool.connectionPool,
        faultToleranceLevel: "medium",
        recoveryStrategy: "progressive",
      });
      await recovery.initialize();
      window.seed = { pool, recovery };
    },
    base64,
    BERT_TOKENIZER,
    level,
  );
}

const hostOf = (page: Page): Promise<string> =>
  page.evaluate(async () => (await window.seed.pool.getModel("text_embedding", "bert-base-uncased")).browserId);
const close = (page: Page): Promise<void> => page.evaluate(() => window.seed.pool.close());

/** Kills a host's process in the middle of the next run. */
async function killInRun<T>(browser: Browser, hostId: string, run: () => Promise<T>): Promise<T> {
  const pid = await browser.processes.pidOfHost(hostId);
  const held = await HeldHost.arm(browser, hostId, "compute", 0);
  const running = run();
  await held.reached();
  browser.processes.kill(pid);
  await held.release();
  return running;
}

test("cross-browser model sharding: a language model in three shards", async ({ page }) => {
  const found = await page.evaluateWithin(
    240_000,
    async (model, tokenizer) => {
      const { connect, ModelShardingAnalyzer, ModelShardingManager } = window.holdfast;
      const pool = await connect();
      pool.registerModel("llama-13b", model, { task: "text-generation", tokenizer });
      const options = {
        modelName: "llama-13b",
        shardingStrategy: "layer_based",
        numShards: 3,
        faultToleranceLevel: "medium",
        connectionPool: pool.connectionPool,
      } as const;
      const manager = new ModelShardingManager({ ...options, recoveryStrategy: "coordinated" });
      await manager.initialize();
      const result = await manager.runInference({ inputText: "Hello, world!" }, { maxNewTokens: 4 });
      const metrics = await manager.getPerformanceMetrics();
      const analyzer = new ModelShardingAnalyzer(manager.performanceHistory);
      const trends = analyzer.analyzePerformanceTrends();
      const stages = manager.session.stages.length;
      await manager.close();
      await pool.close();
      return { ids: result.ids?.length, metrics, trends: Object.keys(trends), stages };
    },
    MOBY,
    TOKENIZER,
  );
  expect(found).toMatchObject({ ids: 4, stages: 3 });
  expect(Object.keys(found.metrics).sort()).toEqual(["latency", "memory", "recoveryRate", "successRate", "throughput"]);
  for (const figure of Object.values(found.metrics)) {
    expect(Object.keys(figure).sort()).toEqual(["perBrowser", "perShard", "total"]);
    expect(figure.perShard).toHaveLength(3);
  }
  expect(found.metrics.latency.total).toBeGreaterThan(0);
  expect(found.metrics.memory.total).toBeGreaterThan(10_000_000);
  expect(found.metrics.successRate.total).toBe(1);
  expect(found.trends).toEqual(expect.arrayContaining(["entriesAnalyzed", "trendDirection", "trendMagnitude"]));
});

test("transaction-based state management", async ({ page }) => {
  const { checkpoint, summary, status } = await page.evaluate(async () => {
    const manager = await window.holdfast.createStateManager();
    manager.addBrowser("browser-1", "chrome");
    manager.updateBrowserStatus("browser-1", "running");
    manager.addModelToBrowser("browser-1", "model-1", { model_type: "bert", config: {} });
    const taken = manager.createBrowserCheckpoint("browser-1");
    return {
      checkpoint: taken,
      summary: manager.getStatusSummary(),
      status: manager.getBrowser("browser-1")?.status,
    };
  });
  expect(Object.keys(checkpoint).sort()).toEqual(
    ["timestamp", "browserId", "browserType", "status", "models", "operations", "resources", "metrics"].sort(),
  );
  expect(status).toBe("running");
  expect(summary).toEqual({
    browserCount: 1,
    healthyBrowserCount: 1,
    browserTypes: { chrome: 1 },
    modelCount: 1,
    operationCount: 0,
    resourceCount: 0,
    transactionCount: 4,
  });
});

test("performance history and recovery: a host that the page finds failed is recovered", async ({ page }) => {
  await setUp(page, "medium");
  const hostId = await hostOf(page);
  const found = await page.evaluateWithin(
    120_000,
    async (own) => {
      const { ResourcePoolRecoveryManager } = window.holdfast;
      const { pool, recovery } = window.seed;
      let critical = "taken";
      try {
        new ResourcePoolRecoveryManager({ connectionPool: pool.connectionPool, faultToleranceLevel: "critical" });
      } catch (error) {
        critical = (error as { code: string }).code;
      }
      const entry = await recovery.trackOperation("inference", "bert-base-uncased", "browser-1", "chrome");
      const completed = await recovery.completeOperation(entry, { durationMs: 120, throughput: 10 }, "completed");
      const before = await pool.executeConcurrent([
        { modelName: "bert-base-uncased", inputs: { text: "Example input" } },
      ]);
      const unknown = await recovery.handleBrowserFailure("browser-1", new Error("Browser crashed"));
      const recovered = await recovery.handleBrowserFailure(own, new Error("Browser crashed"));
      const after = await pool.executeConcurrent([
        { modelName: "bert-base-uncased", inputs: { text: "Example input" } },
      ]);
      const numbers = ([first]: typeof after) =>
        first?.success ? Array.from((Object.values(first.result.outputs)[0]?.data ?? []) as Float32Array) : [];
      const query = { modelName: "bert-base-uncased", operationType: "inference" };
      return {
        critical,
        completed,
        unknown,
        recovered,
        before: numbers(before),
        after: numbers(after),
        recommendations: recovery.getPerformanceRecommendations(),
        statistics: recovery.getRecoveryStatistics(),
        mirrored: recovery.stateManager.getBrowser(recovered.browserId)?.browserType,
        trends: recovery.performanceTracker.analyzePerformanceTrends({ ...query, timeWindowMs: 3_600_000 }),
        recommendation: recovery.performanceTracker.recommendBrowserType({
          ...query,
          availableTypes: ["chrome", "firefox", "edge"],
        }),
        history: recovery.performanceTracker.getStatistics(),
      };
    },
    hostId,
  );
  expect(found).toMatchObject({ critical: "taken", completed: true, mirrored: "chrome" });
  expect(found.unknown).toMatchObject({ success: false, failedBrowserId: "browser-1", recoveryType: "none" });
  expect(found.recovered).toEqual({
    success: true,
    recoveryType: "restart",
    recoveryAttempt: 1,
    browserId: hostId,
    browserType: "chrome",
    failedBrowserId: hostId,
  });
  expect(found.before.length).toBeGreaterThan(0);
  expect(found.after).toEqual(found.before);
  expect(Object.keys(found.recommendations).sort()).toEqual(
    ["based_on_entries", "generation_time", "recommendation_count", "recommendations"].sort(),
  );
  expect(Object.keys(found.statistics).sort()).toEqual(
    [
      "recoveryAttempts",
      "recoverySuccesses",
      "recoveryFailures",
      "successRate",
      "lastError",
      "lastErrorTime",
      "lastRecoveryTime",
      "activeBrowsers",
      "totalBrowsers",
      "browserTypes",
      "faultToleranceLevel",
      "recoveryStrategy",
    ].sort(),
  );
  expect(found.statistics).toMatchObject({
    recoveryAttempts: 2,
    recoverySuccesses: 1,
    recoveryFailures: 1,
    successRate: 0.5,
  });
  expect(found.recommendation.recommendedType).toBe("chrome");
  expect(found.history.totalEntries).toBe(3);
  expect(found.trends.entriesAnalyzed).toBeGreaterThan(0);
  await close(page);
});

test("automated recovery, and the error handling of a browser's call, at a level that recovers no run", async ({
  browser,
  page,
}) => {
  await setUp(page, "none");
  const first = await hostOf(page);
  const run = () =>
    page.evaluateWithin(120_000, async () => {
      const { pool, recovery } = window.seed;
      const inputs = { text: "Example input" };
      const result = await window.holdfast.runWithRecovery({
        pool,
        modelName: "bert-base-uncased",
        operation: "inference",
        inputs,
        recoveryManager: recovery,
      });
      return { ...result, result: null };
    });
  const recovered = await killInRun(browser, first, run);
  expect(recovered).toMatchObject({ success: true, recovered: true, browserType: "chrome" });
  expect(Object.keys(recovered).sort()).toEqual(
    [
      "success",
      "result",
      "browserId",
      "browserType",
      "metrics",
      "recovered",
      "recoveryBrowser",
      "originalError",
    ].sort(),
  );
  expect(Object.keys(await run()).sort()).toEqual(["success", "result", "browserId", "browserType", "metrics"].sort());

  const second = await hostOf(page);
  const called = await killInRun(browser, second, () =>
    page.evaluateWithin(
      120_000,
      async (id) => {
        const { pool, recovery } = window.seed;
        const args = { modelName: "bert-base-uncased", inputs: { text: "Example input" } };
        let host = await pool.connectionPool.getBrowser(id);
        try {
          await host.call("inference", args);
          return { failed: false, outputs: 0 };
        } catch (error) {
          const result = await recovery.handleBrowserFailure(id, error);
          if (!result.success) throw new Error(`Could not recover from browser failure: ${result.error}`);
          host = await pool.connectionPool.getBrowser(result.browserId);
          const { outputs } = await host.call("inference", args);
          return { failed: true, outputs: Object.keys(outputs).length };
        }
      },
      second,
    ),
  );
  expect(called.failed).toBe(true);
  expect(called.outputs).toBeGreaterThan(0);
  await close(page);
});

test("the pool: options, health, metrics, many models at once, hosts within maxConnections", async ({ page }) => {
  await setUp(page, "medium");
  const found = await page.evaluateWithin(120_000, async () => {
    const { ResourcePoolBridgeIntegration } = window.holdfast;
    const { pool } = window.seed;
    let critical = "taken";
    try {
      new ResourcePoolBridgeIntegration({
        faultToleranceOptions: { level: "critical", recoveryStrategy: "progressive" },
      });
    } catch (error) {
      critical = (error as { code: string }).code;
    }
    const idle = await pool.getHealthStatus();
    const model = await pool.getModel("text_embedding", "bert-base-uncased");
    const again = await pool.getModel("text_embedding", "bert-base-uncased");
    const text = { modelName: "bert-base-uncased", inputs: { text: "Example input" } };
    const results = await pool.executeConcurrent([text, text, { modelName: "bert-base-uncased", inputs: {} }]);
    const tooMany = await pool.getModel("text", "five", { shards: 5 }).catch((error: { code: string }) => error.code);
    const status = await pool.getHealthStatus();
    const metrics = await pool.getMetrics();
    return {
      critical,
      idle,
      same: model === again,
      reason: model.reason,
      successes: results.map(({ success }) => success),
      tooMany,
      status,
      metrics,
    };
  });
  expect(found).toMatchObject({ critical: "taken", same: true, successes: [true, true, false] });
  expect(found).toMatchObject({ tooMany: "TOO_MANY_HOSTS", idle: { status: "idle" } });
  expect(found.reason).toContain("edge was preferred and is not at hand");
  expect(found.status).toMatchObject({ status: "healthy", browserCount: 1, healthyBrowserCount: 1 });
  expect(Object.keys(found.metrics).sort()).toEqual(
    ["connections", "models", "performance", "adaptiveScaling", "resources", "circuitBreaker"].sort(),
  );
  expect(found.metrics.connections).toEqual({ current: 1, max: 4, byType: { chrome: 1 } });
  expect(found.metrics.resources.weightBytes).toBeGreaterThan(0);
  await close(page);
});

test("a site sees and fails only its own hosts", async ({ browser, page, site }) => {
  await setUp(page, "medium");
  const hostId = await hostOf(page);
  const other = await openConsentedPage(browser, site.otherOrigin);
  const seen = await other.evaluate(async (foreign) => {
    const pool = await window.holdfast.connect();
    const recovery = new window.holdfast.ResourcePoolRecoveryManager({ connectionPool: pool.connectionPool });
    await recovery.initialize();
    const code = await pool.connectionPool.getBrowser(foreign).then(
      () => "found",
      (error: { code: string }) => error.code,
    );
    const { success } = await recovery.handleBrowserFailure(foreign, new Error("Browser crashed"));
    const { browserCount } = await pool.getHealthStatus();
    await pool.close();
    return { code, success, browserCount };
  }, hostId);
  expect(seen).toEqual({ code: "BAD_OPTIONS", success: false, browserCount: 0 });
  // Nothing happened to it.
  const stage = await page.evaluate(async (id) => (await window.seed.pool.connectionPool.getBrowser(id)).stage, hostId);
  expect(stage).toMatchObject({ phase: "ready", attempt: 0 });
  await other.close();
  await close(page);
});
