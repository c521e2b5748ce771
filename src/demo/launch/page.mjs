import { sleep, until } from "./wait.mjs";

/**
 * @typedef {import("./cdp.mjs").Cdp} Cdp
 * @typedef {import("./cdp.mjs").Json} Json
 */

/** Errors of an evaluation that only say that the document went away under it. */
const DOCUMENT_REPLACED = /context was destroyed|navigated or closed|Cannot find (default execution )?context/i;

/** One attached target: a page, a frame with a process of its own, or a worker. */
export class Page {
  /** What the target wrote to its console, errors it did not catch included; only for targets opened by `newPage`. @type {string[]} */
  console = [];
  #cdp;

  /** @param {Cdp} cdp @param {string} targetId @param {string} sessionId */
  constructor(cdp, targetId, sessionId) {
    this.#cdp = cdp;
    this.targetId = targetId;
    this.sessionId = sessionId;
  }

  /** @param {Cdp} cdp @param {string} targetId */
  static async attach(cdp, targetId) {
    const { sessionId } = await cdp.send("Target.attachToTarget", { targetId, flatten: true });
    return new Page(cdp, targetId, sessionId);
  }

  /** @param {string} method @param {Json} [params] @param {number} [timeoutMs] */
  send(method, params = {}, timeoutMs = undefined) {
    return this.#cdp.send(method, params, this.sessionId, timeoutMs);
  }

  /**
   * Runs code in the target and gives its (awaited, JSON) value. What it throws is thrown here.
   *
   * @template T
   * @template {unknown[]} A
   * @param {string | ((...args: A) => T | Promise<T>)} code an expression, or a function that may use nothing but its arguments
   * @param {A} args JSON values
   * @returns {Promise<T>}
   */
  async evaluate(code, ...args) {
    return this.evaluateWithin(60_000, code, ...args);
  }

  /**
   * As `evaluate`, for code that takes longer than a minute.
   *
   * @template T
   * @template {unknown[]} A
   * @param {number} timeoutMs
   * @param {string | ((...args: A) => T | Promise<T>)} code
   * @param {A} args
   * @returns {Promise<T>}
   */
  async evaluateWithin(timeoutMs, code, ...args) {
    const expression = typeof code === "string" ? code : `(${code})(...${JSON.stringify(args)})`;
    const params = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", params, timeoutMs);
    if (exceptionDetails) throw new Error(exceptionText(exceptionDetails));
    return result.value;
  }

  /**
   * @template T
   * @param {string | (() => T | Promise<T>)} code
   * @param {{ timeoutMs?: number, everyMs?: number }} [options]
   * @returns {Promise<NonNullable<T>>} the first truthy value
   */
  waitFor(code, options = {}) {
    const probe = () => this.evaluate(code).catch(unlessReplaced);
    return /** @type {Promise<NonNullable<T>>} */ (
      until(`page.waitFor(${String(code).slice(0, 200)})`, probe, options)
    );
  }

  /** @param {string} url @param {number} [timeoutMs] */
  async goto(url, timeoutMs = 30_000) {
    const { errorText } = await this.send("Page.navigate", { url }, timeoutMs);
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.waitFor(`location.href !== "about:blank" && document.readyState === "complete"`, { timeoutMs });
  }

  /** @returns {Promise<string>} */
  url() {
    return this.evaluate("location.href");
  }

  /** A click as a user makes it: `event.isTrusted` is true. @param {string} selector */
  async click(selector) {
    // The window may be so new that it has no document yet.
    await this.waitFor(`!!document.querySelector(${JSON.stringify(selector)})`);
    const { x, y } = await this.evaluate(centre, selector);
    const at = { x, y, button: "left", clickCount: 1 };
    await this.send("Input.dispatchMouseEvent", { ...at, type: "mousePressed", buttons: 1 });
    // A click may close the target before the release is answered.
    await this.send("Input.dispatchMouseEvent", { ...at, type: "mouseReleased" }).catch(() => {});
  }

  /** @returns {Promise<Buffer>} PNG */
  async screenshot() {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }

  /** Starts to collect `console`. */
  async listen() {
    this.#cdp.on("Runtime.consoleAPICalled", ({ type, args }, sessionId) => {
      if (sessionId === this.sessionId) this.console.push(`${type}: ${args.map(argumentText).join(" ")}`);
    });
    this.#cdp.on("Runtime.exceptionThrown", ({ exceptionDetails }, sessionId) => {
      if (sessionId === this.sessionId) this.console.push(`uncaught: ${exceptionText(exceptionDetails)}`);
    });
    await this.send("Runtime.enable");
  }

  /** Lets go of the target without closing it. */
  async detach() {
    await this.#cdp.send("Target.detachFromTarget", { sessionId: this.sessionId }).catch(() => {});
  }

  async close() {
    await this.#cdp.send("Target.closeTarget", { targetId: this.targetId }).catch(() => {});
    // The target goes a moment after the answer; tests that count pages must not see it.
    for (let tries = 0; tries < 100 && (await this.#alive()); tries++) await sleep(20);
  }

  async #alive() {
    const { targetInfos } = await this.#cdp.send("Target.getTargets");
    return targetInfos.some((/** @type {Json} */ info) => info.targetId === this.targetId);
  }
}

/** @param {unknown} error */
function unlessReplaced(error) {
  if (error instanceof Error && DOCUMENT_REPLACED.test(error.message)) return undefined;
  throw error;
}

/** Runs in the page. @param {string} selector */
function centre(selector) {
  const element = document.querySelector(selector);
  if (!element) throw new Error(`nothing matches ${selector}`);
  element.scrollIntoView({ block: "center", behavior: "instant" });
  const { left, top, width, height } = element.getBoundingClientRect();
  return { x: left + width / 2, y: top + height / 2 };
}

/** @param {Json} details */
function exceptionText({ exception, text }) {
  return exception?.description ?? `${text} ${argumentText(exception ?? {})}`;
}

/** @param {Json} argument */
function argumentText({ value, description, type }) {
  if (value === undefined) return description ?? type ?? "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
