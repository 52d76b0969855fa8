// Use the server through two clients of the npm registry. Arguments: address, prompt file, picture.
import { readFile } from "node:fs/promises";
import { argv } from "node:process";

import { Client, Workflow } from "@stable-canvas/comfyui-client";
import { ComfyUIClient } from "comfy-ui-client";
import WebSocket from "ws";

const [address, promptFile, picture] = argv.slice(2);
const host = address.replace("http://", "");
const prompt = JSON.parse(await readFile(promptFile, "utf8"));

async function withStableCanvas() {
  const client = new Client({ api_host: host, WebSocket });
  await client.connect();
  const statuses = [];
  client.on("status", (status) => statuses.push(status.exec_info.queue_remaining));
  const workflow = new Workflow();
  const { CheckpointLoaderSimple, EmptyLatentImage, CLIPTextEncode, KSampler, VAEDecode, SaveImage } = workflow.classes;
  const [model, clip, vae] = CheckpointLoaderSimple({ ckpt_name: prompt["4"].inputs.ckpt_name });
  const encode = (text) => CLIPTextEncode({ text, clip })[0];
  const [samples] = KSampler({
    model,
    seed: 5,
    steps: 3,
    cfg: 2,
    sampler_name: "euler",
    scheduler: "normal",
    denoise: 1,
    latent_image: EmptyLatentImage({ width: 32, height: 32, batch_size: 1 })[0],
    positive: encode("a fox"),
    negative: encode(""),
  });
  SaveImage({ filename_prefix: "canvas", images: VAEDecode({ samples, vae })[0] });
  const progress = [];
  const result = await workflow.invoke(client, { progress: (step) => progress.push(step.value) });
  const bytes = [];
  for (const image of result.images) {
    bytes.push(Buffer.from(await (await fetch(image.data)).arrayBuffer()).toString("base64"));
  }
  const polled = await client.enqueue_polling(prompt);
  const history = await client.getHistory();
  const told = {
    types: result.images.map((image) => image.type),
    images: bytes,
    progress,
    statuses,
    polled: polled.images.length,
    samplers: await client.getSamplers(),
    checkpoints: await client.getSDModels(),
    history: history.History.length,
    queue: await client.getQueue(),
    stats: (await client.getSystemStats()).system.comfyui_version,
  };
  let refusal = "";
  try {
    await client.queuePrompt(0, { prompt: { 1: { class_type: "Nothing", inputs: {} } }, workflow: {} });
  } catch (error) {
    refusal = error.json.error.type;
  }
  await client.interrupt();
  client.close();
  return { ...told, refusal };
}

async function withComfyUiClient() {
  const client = new ComfyUIClient(host, "a-client-of-comfy-ui-client");
  await client.connect();
  const images = await client.getImages(prompt);
  const uploaded = await client.uploadImage(await readFile(picture), "from js.png", true);
  const told = {
    nodes: Object.keys(images),
    images: await Promise.all(
      Object.values(images)
        .flat()
        .map(async ({ blob }) => Buffer.from(await blob.arrayBuffer()).toString("base64")),
    ),
    uploaded,
    prompt: await client.getPrompt(),
    queue: await client.getQueue(),
    class: (await client.getObjectInfo("KSampler")).KSampler.name,
    embeddings: await client.getEmbeddings(),
    extensions: await client.getExtensions(),
  };
  await client.disconnect();
  return told;
}

console.log("RESULT " + JSON.stringify({ canvas: await withStableCanvas(), client: await withComfyUiClient() }));
process.exit(0);
