// What an answer must be, and how it is counted when it is not.

/** @typedef {Float32Array | BigInt64Array | Uint8Array} Data */
/** @typedef {Readonly<Record<string, { readonly data: Data }>>} Outputs */

/**
 * The first output that is not as expected: by its bits where `tolerance` is 0, else by that share of its largest value.
 * @param {Outputs} expected @param {Outputs} made @param {number} tolerance @returns {string | null}
 */
export function differenceOf(expected, made, tolerance) {
  for (const [name, { data: wanted }] of Object.entries(expected)) {
    const data = made[name]?.data;
    if (data === undefined || data.length !== wanted.length) return `${name} is absent or of another size`;
    const at =
      tolerance === 0 || !(wanted instanceof Float32Array) || !(data instanceof Float32Array)
        ? otherBits(wanted, data)
        : tooFar(wanted, data, tolerance);
    if (at >= 0) return `${name}[${at}] is ${data[at]}, plain onnxruntime-web has ${wanted[at]}`;
  }
  return null;
}

/** @param {Data} wanted @param {Data} data */
function otherBits(wanted, data) {
  const bytes = (/** @type {Data} */ { buffer, byteOffset, byteLength }) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  const [a, b] = [bytes(wanted), bytes(data)];
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? at : Math.floor(at / wanted.BYTES_PER_ELEMENT);
}

/** @param {Float32Array} wanted @param {Float32Array} data @param {number} tolerance */
function tooFar(wanted, data, tolerance) {
  const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  // Written so that NaN is too far.
  return wanted.findIndex((value, index) => !(Math.abs(value - (data[index] ?? Number.NaN)) <= tolerance * scale));
}

/** One stream of tokens against the ids that it must have. */
export class StreamCheck {
  missing = 0;
  doubled = 0;
  wrong = 0;
  #ids;
  #next = 0;

  /** @param {readonly number[]} ids */
  constructor(ids) {
    this.#ids = ids;
  }

  /** @param {{ readonly index: number, readonly id: number }} token @returns {string | null} what is wrong with it */
  take({ index, id }) {
    const due = this.#next;
    const wanted = this.#ids[index];
    if (index < due) this.doubled++;
    if (index > due) this.missing += index - due;
    if (id !== wanted) this.wrong++;
    this.#next = Math.max(due, index + 1);
    return index === due && id === wanted ? null : `token ${index} (${due} was due) is ${id}, not ${wanted}`;
  }

  /** @returns {string | null} */
  end() {
    const [made, all] = [this.#next, this.#ids.length];
    this.missing += Math.max(0, all - made);
    return made < all ? `the stream ended after ${made} tokens of ${all}` : null;
  }
}
