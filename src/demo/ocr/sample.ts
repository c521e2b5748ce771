/** A bill as it might have hung in a harbour, drawn here so that the demo needs no picture from elsewhere. */
const WIDTH = 760;
const HEIGHT = 600;
const INK = "#2b2a26";
const SERIF = '"Liberation Serif", "Times New Roman", Georgia, serif';
const SANS = '"Liberation Sans", Arial, Helvetica, sans-serif';

type Line = readonly [text: string, y: number, font: string];

const LINES: readonly Line[] = [
  ["Nantucket, 1851", 92, `26px ${SANS}`],
  ["Hands wanted", 172, `bold 54px ${SANS}`],
  ["for the whaling ship", 222, `italic 30px ${SERIF}`],
  ["PEQUOD", 318, `bold 92px ${SERIF}`],
  ["Three years, round Cape Horn", 382, `32px ${SERIF}`],
  ["Pay: the 300th lay", 432, `28px ${SANS}`],
];

export function drawSample(canvas: HTMLCanvasElement): void {
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.fillStyle = "#efe3c4";
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  drawStains(pen);
  pen.strokeStyle = pen.fillStyle = INK;
  pen.lineWidth = 3;
  pen.strokeRect(24, 24, WIDTH - 48, HEIGHT - 48);
  pen.lineWidth = 1;
  pen.strokeRect(31, 31, WIDTH - 62, HEIGHT - 62);
  pen.textAlign = "center";
  for (const [text, y, font] of LINES) {
    pen.font = font;
    pen.fillText(text, WIDTH / 2, y);
  }
  drawStamp(pen);
}

function drawStains(pen: CanvasRenderingContext2D): void {
  for (const [x, y, radius] of [
    [120, 480, 160],
    [640, 110, 190],
    [420, 330, 240],
  ] as const) {
    const stain = pen.createRadialGradient(x, y, 0, x, y, radius);
    stain.addColorStop(0, "#d9c79466");
    stain.addColorStop(1, "#d9c79400");
    pen.fillStyle = stain;
    pen.fillRect(0, 0, WIDTH, HEIGHT);
  }
}

/** Turned, to show that lines need not lie level. */
function drawStamp(pen: CanvasRenderingContext2D): void {
  pen.save();
  pen.translate(WIDTH / 2, 508);
  pen.rotate(-0.07);
  pen.strokeStyle = pen.fillStyle = "#8e2434";
  pen.lineWidth = 2.5;
  pen.strokeRect(-205, -34, 410, 62);
  pen.font = `bold 31px ${SANS}`;
  pen.fillText("Apply to Captain Peleg", 0, 9);
  pen.restore();
}
