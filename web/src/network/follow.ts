/** A run followed over a websocket; after a cut it goes on behind the last event that came. */
import type { EngineEvent, ErrorJson } from '../wire';
import { foundLine } from './line';

/** What the queue itself tells. */
export type QueueEvent =
  | { readonly event: 'job_queued' | 'job_started' | 'job_lost' | 'job_retried'; readonly seq: number; readonly time: number }
  | {
      readonly event: 'job_ended';
      readonly seq: number;
      readonly time: number;
      readonly status: 'done' | 'failed' | 'cancelled';
      readonly error?: ErrorJson | null;
    };
export type RunEvent = EngineEvent | QueueEvent;

export interface Picture {
  readonly node: string;
  readonly width: number;
  readonly height: number;
  readonly jpeg: Blob;
}

export interface Listener {
  readonly onEvent: (event: RunEvent) => void;
  readonly onPicture: (picture: Picture) => void;
  /** it cannot be followed any more: it was erased, or the server refuses */
  readonly onGone: () => void;
}

const FIRST_WAIT = 250;
const LONGEST_WAIT = 8000;

/** Follows until the run has ended. Returns how to stop. */
export function followRun(id: string, listener: Listener): () => void {
  let seen = 0;
  let ended = false;
  let wait = FIRST_WAIT;
  let socket: WebSocket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const open = (): void => {
    socket = new WebSocket(addressOf(id, seen));
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      wait = FIRST_WAIT;
      foundLine(true);
    };
    socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => {
      if (typeof message.data !== 'string') {
        listener.onPicture(pictureOf(message.data));
        return;
      }
      const event = JSON.parse(message.data) as RunEvent;
      if (event.seq > 0 && event.seq <= seen) return;
      seen = Math.max(seen, event.seq);
      ended ||= event.event === 'job_ended';
      listener.onEvent(event);
    };
    socket.onclose = () => {
      if (ended) return;
      timer = setTimeout(() => void again(), wait);
      wait = Math.min(LONGEST_WAIT, wait * 2);
    };
  };

  /** A refused websocket says nothing of the reason; a plain request does. */
  const again = async (): Promise<void> => {
    const answer = await fetch(`api/v1/runs/${encodeURIComponent(id)}`).catch(() => null);
    if (ended) return;
    foundLine(answer !== null);
    if (answer?.status === 404) listener.onGone();
    else open();
  };

  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    socket?.close();
  };
}

function addressOf(id: string, after: number): string {
  const url = new URL(`api/v1/runs/${encodeURIComponent(id)}/socket?after=${after}`, document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

/** Length of the JSON, 4 bytes big endian; JSON; JPEG. */
export function pictureOf(data: ArrayBuffer): Picture {
  const length = new DataView(data).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as Omit<Picture, 'jpeg'>;
  return { ...head, jpeg: new Blob([new Uint8Array(data, 4 + length)], { type: 'image/jpeg' }) };
}
