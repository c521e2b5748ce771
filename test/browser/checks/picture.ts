import type { TurnedRectangle } from "../../../src/demo/ocr/geometry.ts";
import type { Picture } from "../../../src/demo/ocr/picture.ts";
import type { Page } from "../harness/fixtures.ts";

const WIDTH = 480;
const HEIGHT = 48;

/** One line of text, drawn by the browser; the box is the whole picture. */
export async function renderText(page: Page, text: string): Promise<{ picture: Picture; box: TurnedRectangle }> {
  const pixels = await page.evaluate(
    (line, width, height) => {
      const canvas = new OffscreenCanvas(width, height);
      const pen = canvas.getContext("2d");
      if (pen === null) throw new Error("the browser gives no 2d canvas");
      pen.fillStyle = "white";
      pen.fillRect(0, 0, width, height);
      pen.fillStyle = "black";
      pen.textBaseline = "middle";
      pen.font = '30px "Liberation Sans", Arial, Helvetica, sans-serif';
      pen.fillText(line, 12, height / 2, width - 24);
      return [...pen.getImageData(0, 0, width, height).data];
    },
    text,
    WIDTH,
    HEIGHT,
  );
  return {
    picture: { width: WIDTH, height: HEIGHT, data: Uint8ClampedArray.from(pixels) },
    box: { centre: { x: WIDTH / 2, y: HEIGHT / 2 }, width: WIDTH, height: HEIGHT, angle: 0 },
  };
}
