// A storyboard's tiles: which one shows a time, and how to draw it.
import { h } from "./dom.js";

export class Tiles {
  static async load(job) {
    const files = job.outputs.filter((output) => output.kind === "storyboard").flatMap((output) => output.artifacts);
    const index = files.find((artifact) => artifact.name.endsWith(".json"));
    if (!index) return null;
    const answer = await fetch(index.url);
    return answer.ok ? new Tiles(await answer.json(), index.url) : null;
  }

  constructor(index, address) {
    this.index = index;
    this.address = address;
    this.picture = h("img", { alt: "" });
    this.element = h("div", { class: "tile-window", "aria-hidden": "true" }, this.picture);
    this.element.style.aspectRatio = `${index.tile_width} / ${index.tile_height}`;
  }

  at(time) {
    const { tiles } = this.index;
    return tiles.find((tile) => time >= tile.start && time < tile.end) ?? tiles.at(-1);
  }

  // Shows the tile of a time: the sheet is as many times wider as it has columns.
  show(time) {
    const tile = this.at(time);
    const { columns } = this.index.sheets[tile.sheet];
    const { tile_width: width, tile_height: height } = this.index;
    const url = new URL(tile.file, this.address).href;
    if (this.picture.src !== url) this.picture.src = url;
    this.picture.style.width = `${columns * 100}%`;
    this.picture.style.translate = `${(-100 * tile.x) / (columns * width)}% 0`;
    this.picture.style.marginTop = `${(-100 * tile.y) / width}%`;
    this.element.dataset.time = tile.time;
    return { tile, height };
  }
}
