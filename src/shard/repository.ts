/** One model of a repository that holds several, such as encoder and decoder. */
export interface RepositoryComponent {
  /** What it does: "encoder", "decoder", "vision encoder", "detector" … or "model". */
  readonly role: string;
  /** The file with the plain weights, else the first variant. */
  readonly path: string;
  /** Other files of the same component, by what their names add: "fp16", "quantized", "q4" …; "" is the plain one. */
  readonly variants: Readonly<Record<string, string>>;
}

const VARIANT = /[_.-](fp16|fp32|quantized|int8|uint8|q8|q4|q4f16|bnb4|q2|q2f16|q1|mobile|server)$/i;
/** Roles in the order in which a run passes through them; the first row that matches a file's name. */
const ROLES: readonly (readonly [role: string, pattern: RegExp])[] = [
  ["features", /^(melspectrogram|mel|preprocessor|feature)/i],
  ["embedding", /^(embed_tokens|embedding|embeddings|embedding_model)$/i],
  ["vision encoder", /^(vision|image|visual)(_|$)/i],
  ["audio encoder", /^(audio|speech_encoder)(_|$)/i],
  ["text encoder", /^text(_|$)/i],
  ["encoder", /^(encoder|encode)(_|$)|_encoder$/i],
  ["decoder with past", /^decoder_(model_)?with_past/i],
  ["decoder", /^(decoder|decode|prompt_encoder_mask_decoder)(_|$)|_decoder$/i],
  ["detector", /(^|_)det(_|$)|detect/i],
  ["classifier", /(^|_)cls(_|$)|classif/i],
  ["recogniser", /(^|_)rec(_|$)|recogn/i],
  ["vocoder", /vocoder/i],
  ["model", /^model$/i],
];

/**
 * Groups the ONNX files of one repository into its components, in the order of a run. A merged decoder stands for the decoders with
 * and without past. Files that no rule knows are components of the role that their name is, after the others.
 * @param paths of the files, folders included; what does not end in ".onnx" is ignored.
 */
export function componentsOfRepository(paths: readonly string[]): RepositoryComponent[] {
  const groups = new Map<
    string,
    { readonly order: number; readonly role: string; readonly files: Map<string, string> }
  >();
  for (const path of [...paths].sort()) {
    if (!/\.onnx$/i.test(path)) continue;
    const { stem, variant } = parse(path);
    const order = ROLES.findIndex(([, pattern]) => pattern.test(stem));
    const role = ROLES[order]?.[0] ?? stem;
    const key = `${role}\n${stem}`;
    const group = groups.get(key) ?? {
      order: order < 0 ? ROLES.length : order,
      role,
      files: new Map<string, string>(),
    };
    if (!group.files.has(variant)) group.files.set(variant, path);
    groups.set(key, group);
  }
  const hasMerged = [...groups.keys()].some((key) => /decoder.*merged/i.test(key));
  const isCovered = (key: string): boolean => hasMerged && key.startsWith("decoder") && !/merged/i.test(key);
  return [...groups]
    .filter(([key]) => !isCovered(key))
    .sort(([, a], [, b]) => a.order - b.order)
    .map(([, { role, files }]) => {
      const variants = Object.fromEntries(files);
      return { role, path: variants[""] ?? Object.values(variants)[0] ?? "", variants };
    });
}

/** A file's name without folder and ending, and what it adds for its kind of weights. */
function parse(path: string): { stem: string; variant: string } {
  const name = (path.split("/").at(-1) ?? path).replace(/\.onnx$/i, "");
  const found = VARIANT.exec(name);
  return found === null ? { stem: name, variant: "" } : { stem: name.slice(0, found.index), variant: found[1] ?? "" };
}
