/**
 * The Chrome DevTools Protocol over `--remote-debugging-pipe`: JSON messages, each ended by a NUL, on the browser's fds 3 and 4.
 *
 * Nothing is attached on its own: an attached debugger keeps a service worker alive and would hide the very faults we look for.
 * https://chromedevtools.github.io/devtools-protocol/
 */

/** How long one command may take before it is given up. */
const COMMAND_TIMEOUT_MS = 30_000;

/**
 * @typedef {Record<string, any>} Json
 * @typedef {(params: Json, sessionId: string | undefined) => void} Listener
 * @typedef {{ resolve: (result: Json) => void, reject: (error: Error) => void, timer: NodeJS.Timeout, method: string, sessionId: string | undefined }} Pending
 */

export class Cdp {
  #nextId = 1;
  #rest = "";
  #closed = false;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** @type {Map<string, Set<Listener>>} */
  #listeners = new Map();
  #input;

  /**
   * @param {import("node:stream").Writable} input the browser's fd 3
   * @param {import("node:stream").Readable} output the browser's fd 4
   */
  constructor(input, output) {
    this.#input = input;
    output.setEncoding("utf8");
    output.on("data", (chunk) => this.#receive(chunk));
    output.on("close", () => this.#close());
    // A killed browser breaks the pipe; `close` then rejects what was waiting.
    output.on("error", () => this.#close());
    input.on("error", () => this.#close());
    this.on("Target.detachedFromTarget", ({ sessionId }) => this.#dropSession(sessionId));
  }

  get closed() {
    return this.#closed;
  }

  /**
   * @param {string} method
   * @param {Json} [params]
   * @param {string} [sessionId] the target's session; without it the browser itself is meant
   * @param {number} [timeoutMs]
   * @returns {Promise<Json>}
   */
  send(method, params = {}, sessionId = undefined, timeoutMs = COMMAND_TIMEOUT_MS) {
    if (this.#closed) return Promise.reject(new Error(`${method}: the browser is gone`));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new Error(`${method}: no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer, method, sessionId });
      this.#input.write(`${JSON.stringify(sessionId ? { id, method, params, sessionId } : { id, method, params })}\0`);
    });
  }

  /**
   * @param {string} event
   * @param {Listener} listener
   * @returns {() => void} takes the listener off again
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** @param {string} chunk */
  #receive(chunk) {
    const messages = (this.#rest + chunk).split("\0");
    this.#rest = messages.pop() ?? "";
    for (const text of messages) this.#dispatch(JSON.parse(text));
  }

  /** @param {Json} message */
  #dispatch(message) {
    if (message.id === undefined) {
      for (const listener of this.#listeners.get(message.method) ?? [])
        listener(message.params ?? {}, message.sessionId);
      return;
    }
    const pending = this.#take(message.id);
    if (!pending) return;
    if (message.error) pending.reject(new Error(`${pending.method}: ${message.error.message}`));
    else pending.resolve(message.result);
  }

  /** @param {number} id */
  #take(id) {
    const pending = this.#pending.get(id);
    if (pending) clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }

  /** A target that died answers nothing any more. @param {string} sessionId */
  #dropSession(sessionId) {
    for (const [id, { sessionId: of }] of [...this.#pending]) {
      if (of !== sessionId) continue;
      const pending = this.#take(id);
      pending?.reject(new Error(`${pending.method}: the target is gone`));
    }
  }

  #close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const id of [...this.#pending.keys()]) {
      const pending = this.#take(id);
      pending?.reject(new Error(`${pending.method}: the browser is gone`));
    }
    for (const listener of this.#listeners.get("closed") ?? []) listener({}, undefined);
  }
}
