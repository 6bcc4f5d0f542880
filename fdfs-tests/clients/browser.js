// What a person does with the pages of `tests/module_browser.rs`. Runs inside a browser; `run` resolves to what the test looks at.

const PICTURES = 50;
const VIDEO = { width: 320, height: 240, fps: 10, seconds: 30, cycle: 10 };

const until = (target, event) => new Promise((done, fail) => {
  target.addEventListener(event, done, { once: true });
  target.addEventListener("error", () => fail(new Error(`no ${event}: ${target.error?.message ?? target.src}`)), { once: true });
});

const canvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

// Noise, so that it stays large, under four black or white columns that tell the number.
function draw(number, width, height) {
  const picture = canvas(width, height), context = picture.getContext("2d");
  const noise = context.createImageData(width, height);
  for (let at = 0; at < noise.data.length; at += 65536) {
    crypto.getRandomValues(noise.data.subarray(at, at + 65536));
  }
  for (let at = 3; at < noise.data.length; at += 4) noise.data[at] = 255;
  context.putImageData(noise, 0, 0);
  for (let bit = 0; bit < 4; bit++) {
    context.fillStyle = number >> bit & 1 ? "white" : "black";
    context.fillRect(bit * width / 4, 0, width / 4, height / 2);
  }
  return picture;
}

function number(source, width, height) {
  const context = canvas(width, height).getContext("2d");
  context.drawImage(source, 0, 0);
  const bit = (at) => context.getImageData((at + 0.5) * width / 4, height / 4, 1, 1).data[0] > 127;
  return [0, 1, 2, 3].reduce((number, at) => number | bit(at) << at, 0);
}

// A WebM element: its id, the length in 8 bytes, the content.
function element(id, ...content) {
  const blob = new Blob(content);
  const size = new DataView(new ArrayBuffer(8));
  size.setBigUint64(0, BigInt(blob.size) | (1n << 56n));
  const bytes = [];
  for (let rest = id; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return new Blob([new Uint8Array(bytes), size, blob]);
}

function uint(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(value));
  return view;
}

function float(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view;
}

// Every frame is a key frame; there are as few as the cycle has, over and over.
async function frames() {
  const made = [];
  const encoder = new VideoEncoder({
    output: (chunk) => {
      const bytes = new Uint8Array(chunk.byteLength);
      chunk.copyTo(bytes);
      made.push(bytes);
    },
    error: (error) => { throw error; },
  });
  encoder.configure({ codec: "vp8", width: VIDEO.width, height: VIDEO.height, bitrate: 20_000_000 });
  for (let at = 0; at < VIDEO.cycle; at++) {
    const frame = new VideoFrame(draw(at, VIDEO.width, VIDEO.height), { timestamp: at * 100_000 });
    encoder.encode(frame, { keyFrame: true });
    frame.close();
  }
  await encoder.flush();
  return made;
}

// A film with its index at the end, where many programs leave it: who plays it has to look there first.
async function film() {
  const cycle = await frames();
  const info = element(0x1549a966, element(0x2ad7b1, uint(1_000_000)), element(0x4489, float(VIDEO.seconds * 1000)));
  const picture = element(0xe0, element(0xb0, uint(VIDEO.width)), element(0xba, uint(VIDEO.height)));
  const track = element(0xae, element(0xd7, uint(1)), element(0x73c5, uint(1)), element(0x83, uint(1)), element(0x86, "V_VP8"), picture);
  const tracks = element(0x1654ae6b, track);
  const seek = (id, at) => element(0x4dbb, element(0x53ab, new Uint8Array(id)), element(0x53ac, uint(at)));
  const head = (cues) => element(0x114d9b74, seek([0x1c, 0x53, 0xbb, 0x6b], cues));
  let at = head(0).size + info.size + tracks.size;
  const clusters = [], cues = [];
  for (let second = 0; second < VIDEO.seconds; second++) {
    const blocks = [];
    for (let n = 0; n < VIDEO.fps; n++) {
      const ms = n * 1000 / VIDEO.fps;
      blocks.push(element(0xa3, new Uint8Array([0x81, ms >> 8, ms & 255, 0x80]), cycle[(second * VIDEO.fps + n) % cycle.length]));
    }
    const cluster = element(0x1f43b675, element(0xe7, uint(second * 1000)), ...blocks);
    cues.push(element(0xbb, element(0xb3, uint(second * 1000)), element(0xb7, element(0xf7, uint(1)), element(0xf1, uint(at)))));
    clusters.push(cluster);
    at += cluster.size;
  }
  const kind = element(0x1a45dfa3, element(0x4282, "webm"), element(0x4287, uint(4)), element(0x4285, uint(2)));
  const segment = element(0x18538067, head(at), info, tracks, ...clusters, element(0x1c53bb6b, ...cues));
  return new File([kind, segment], "film.webm", { type: "video/webm" });
}

// Chooses files in the form of the page and sends it as scripts do.
async function upload(files) {
  const chosen = new DataTransfer();
  files.forEach((file) => chosen.items.add(file));
  const form = document.forms[0];
  form.files.files = chosen.files;
  const request = new XMLHttpRequest(), seen = [];
  request.open("POST", form.action);
  request.upload.addEventListener("progress", (event) => seen.push([event.loaded, event.total]));
  const over = until(request, "load");
  request.send(new FormData(form));
  await over;
  if (request.status !== 201) throw new Error(`upload: ${request.status}`);
  const rising = seen.every(([loaded], at) => at === 0 || loaded >= seen[at - 1][0]);
  const [loaded, total] = seen.at(-1) ?? [0, 1];
  if (!rising || loaded !== total) throw new Error(`progress: ${JSON.stringify(seen)}`);
  return JSON.parse(request.response).files;
}

async function show(url, index) {
  const picture = new Image();
  picture.src = url;
  document.body.append(picture);
  await picture.decode();
  return picture.naturalWidth === 20 + index && number(picture, 20 + index, 20) === index % 10;
}

// Plays a little, then jumps about; the number of the frame at each place.
async function watch(url, places) {
  const player = Object.assign(document.createElement("video"), { muted: true, src: url });
  document.body.append(player);
  await until(player, "loadedmetadata");
  await Promise.all([until(player, "timeupdate"), player.play()]);
  player.pause();
  const found = [];
  for (const place of places) {
    const there = until(player, "seeked");
    player.currentTime = place;
    await there;
    found.push(number(player, VIDEO.width, VIDEO.height));
  }
  const { duration } = player;
  player.removeAttribute("src");
  player.load();
  player.remove();
  return { duration, found };
}

// `other` makes of a file's URL that of an nginx that does not have it.
async function run(other) {
  const files = await Promise.all(Array.from({ length: PICTURES }, async (_, index) => {
    const blob = await new Promise((done) => draw(index % 10, 20 + index, 20).toBlob(done));
    return new File([blob], `${index}.png`, { type: "image/png" });
  }));
  const pictures = await upload(files);
  const urls = pictures.map((file, index) => (index % 2 === 0 ? file.url : other + file.url));
  const shown = await Promise.all(urls.map(show));
  const [video] = await upload([await film()]);
  const places = [25.05, 5.25, 15.75, 29.95, 0.35];
  const here = await watch(video.url, places), there = await watch(other + video.url, places);
  return { pictures: pictures.map((file) => file.id), shown, video, here, there };
}
