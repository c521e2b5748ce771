/** PP-OCRv4's two networks as sessions of Holdfast. */
import { type Pool, type Session, Tensor } from "../../page/index.ts";
import type { SessionEvent } from "../../protocol/events.ts";
import { DETECTOR_INPUT, DETECTOR_OUTPUT } from "./detect.ts";
import type { Planes } from "./picture.ts";
import type { Models } from "./reader.ts";
import { characterClasses, RECOGNISER_INPUT, RECOGNISER_OUTPUT } from "./recognise.ts";

const DETECTOR = "/models/ocr/ch_PP-OCRv4_det_infer.onnx";
const RECOGNISER = "/models/ocr/ch_PP-OCRv4_rec_infer.onnx";
const KEYS = "/models/ocr/ppocr_keys_v1.txt";
/** Two shards each: four hosts is what one page may have by default. */
export const SHARDS_EACH = 2;

export interface OcrSessions extends Models {
  readonly classes: readonly string[];
  release(): Promise<void>;
}

type OnEvent = (event: SessionEvent) => void;

export async function openOcr(pool: Pool, onDetector: OnEvent, onRecogniser: OnEvent): Promise<OcrSessions> {
  const classes = characterClasses(await fetchText(KEYS));
  const detector = await open(pool, DETECTOR, onDetector);
  const recogniser = await open(pool, RECOGNISER, onRecogniser).catch(async (error: unknown) => {
    await detector.release();
    throw error;
  });
  return {
    classes,
    async detect(planes) {
      const { data, dims } = await run(detector, DETECTOR_INPUT, DETECTOR_OUTPUT, planes);
      return { data, height: dims[2] ?? 0, width: dims[3] ?? 0 };
    },
    async recognise(planes) {
      return (await run(recogniser, RECOGNISER_INPUT, RECOGNISER_OUTPUT, planes)).data;
    },
    async release() {
      await Promise.all([detector.release(), recogniser.release()]);
    },
  };
}

async function open(pool: Pool, model: string, onEvent: OnEvent): Promise<Session> {
  const url = new URL(model, location.href);
  const session = await pool.createSession(url, { shards: SHARDS_EACH, faultToleranceLevel: "medium", onEvent });
  for (const stage of session.stages) onEvent({ type: "stage", stage });
  return session;
}

async function run(
  session: Session,
  input: string,
  output: string,
  planes: Planes,
): Promise<{ data: Float32Array; dims: readonly number[] }> {
  const outputs = await session.run({ [input]: new Tensor("float32", planes.data, [...planes.dims]) });
  const answer = outputs[output];
  if (!(answer?.data instanceof Float32Array)) throw new Error(`the model gave no ${output}`);
  return { data: answer.data, dims: answer.dims };
}

async function fetchText(path: string): Promise<string> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.text();
}
