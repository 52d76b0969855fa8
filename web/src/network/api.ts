/** Requests to the server. Whole numbers beyond 2^53 survive both ways. */
import type { CatalogJson } from '../document/catalog';
import { type Json, type JsonObject, parseJson, writeJson } from '../document/json';
import { checkDocument, type Doc } from '../document/model';
import type {
  Accepted,
  ErrorJson,
  Explanation,
  Kept,
  KeptList,
  MyNodes,
  OneTemplate,
  Queue,
  Run,
  RunPage,
  RunRequest,
  Script,
  Template,
  Templates,
  Tokens,
  Verdict,
  Versions,
} from '../wire';
import { foundLine } from './line';

const BASE = 'api/v1';

/** The server said no, and why. `present`: what is saved instead, if that is the reason. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly error: ErrorJson,
    readonly present: Kept | null,
  ) {
    super(error.message);
    this.name = 'ApiError';
  }
}

/** There was no answer at all. */
export class Unreachable extends Error {
  constructor() {
    super('The server does not answer. Your work is kept in this browser until it does.');
    this.name = 'Unreachable';
  }
}

interface Asked {
  readonly body?: unknown;
  readonly blob?: Blob | FormData;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export async function call<T>(method: string, path: string, asked: Asked = {}): Promise<T> {
  const headers: Record<string, string> = { ...asked.headers };
  if (asked.body !== undefined) headers['Content-Type'] = 'application/json';
  const body = asked.blob ?? (asked.body === undefined ? null : writeJson(asked.body));
  const response = await fetch(path, { method, headers, body, signal: asked.signal ?? null }).catch((error: unknown) => {
    if ((error as Error).name === 'AbortError') throw error;
    foundLine(false);
    throw new Unreachable();
  });
  foundLine(true);
  const text = await response.text();
  if (!response.ok) throw failure(response, text);
  return (text === '' ? null : parseJson(text)) as T;
}

function failure(response: Response, text: string): ApiError {
  try {
    const data = JSON.parse(text) as { error: ErrorJson; present?: Kept };
    if (typeof data.error.message === 'string') return new ApiError(response.status, data.error, data.present ?? null);
  } catch {
    // told below
  }
  const message = `The server answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(response.status, { code: '', error: '', message }, null);
}

const part = encodeURIComponent;

export const api = {
  nodes: (): Promise<CatalogJson> => call('GET', `${BASE}/nodes`),

  templates: async (): Promise<readonly Template[]> => (await call<Templates>('GET', `${BASE}/templates`)).templates,

  async template(name: string): Promise<Doc> {
    const found = await call<OneTemplate>('GET', `${BASE}/templates/${part(name)}`);
    return checkDocument(found.workflow as JsonObject);
  },

  workflows: async (): Promise<readonly Kept[]> => (await call<KeptList>('GET', `${BASE}/workflows`)).workflows,

  async workflow(name: string): Promise<{ kept: Kept; doc: Doc }> {
    const found = await call<Kept & { workflow: Json }>('GET', `${BASE}/workflows/${part(name)}`);
    return { kept: found, doc: checkDocument(found.workflow) };
  },

  /** `etag`: what was seen last; null for a name that must be new. Raises ApiError 412 if somebody else was faster. */
  save(name: string, doc: Doc, etag: string | null): Promise<Kept> {
    const headers: Record<string, string> = etag === null ? { 'If-None-Match': '*' } : { 'If-Match': etag };
    return call('PUT', `${BASE}/workflows/${part(name)}`, { body: { workflow: doc }, headers });
  },

  /** Nodes of one's own: each a workflow of one node, with its subgraphs. */
  mine: async (): Promise<readonly { name: string; doc: Doc }[]> =>
    (await call<MyNodes>('GET', `${BASE}/my-nodes`)).nodes.map((one) => ({
      name: one.name,
      doc: checkDocument(one.workflow as JsonObject),
    })),
  keepMine: (name: string, doc: Doc): Promise<Kept> => call('PUT', `${BASE}/my-nodes/${part(name)}`, { body: { workflow: doc } }),
  forgetMine: (name: string): Promise<null> => call('DELETE', `${BASE}/my-nodes/${part(name)}`),

  versions: async (name: string): Promise<Versions['versions']> =>
    (await call<Versions>('GET', `${BASE}/workflows/${part(name)}/versions`)).versions,

  rename: (name: string, to: string, etag: string): Promise<Kept> =>
    call('PATCH', `${BASE}/workflows/${part(name)}`, { body: { name: to }, headers: { 'If-Match': etag } }),

  /** Its versions stay. */
  remove: (name: string, etag: string): Promise<null> =>
    call('DELETE', `${BASE}/workflows/${part(name)}`, { headers: { 'If-Match': etag } }),

  restore: (name: string, version: number): Promise<Kept> => call('POST', `${BASE}/workflows/${part(name)}/restore/${version}`),

  setThumbnail: (name: string, picture: Blob): Promise<Kept> =>
    call('PUT', `${BASE}/workflows/${part(name)}/thumbnail`, { blob: picture, headers: { 'Content-Type': picture.type } }),

  async version(name: string, number: number): Promise<Doc> {
    const found = await call<{ workflow: Json }>('GET', `${BASE}/workflows/${part(name)}/versions/${number}`);
    return checkDocument(found.workflow);
  },

  async convert(workflow: Json | Blob): Promise<{ doc: Doc; format: string; warnings: readonly string[] }> {
    const asked =
      workflow instanceof Blob ? { blob: workflow, headers: { 'Content-Type': workflow.type || 'image/png' } } : { body: { workflow } };
    const found = await call<{ workflow: Json; format: string; warnings: string[] }>('POST', `${BASE}/convert`, asked);
    return { doc: checkDocument(found.workflow), format: found.format, warnings: found.warnings };
  },

  toComfy: async (doc: Doc): Promise<Json> =>
    (await call<{ workflow: Json }>('POST', `${BASE}/convert`, { body: { workflow: doc, to: 'comfyui-api' } })).workflow,

  script: async (doc: Doc): Promise<string> => (await call<Script>('POST', `${BASE}/script`, { body: { workflow: doc } })).script,

  check: (doc: Doc, signal: AbortSignal): Promise<Verdict> => call('POST', `${BASE}/check`, { body: { workflow: doc }, signal }),

  submit: (doc: Doc, request: Omit<RunRequest, 'workflow'>): Promise<Accepted> =>
    call('POST', `${BASE}/runs`, { body: { ...request, workflow: doc } }),

  run: (id: string): Promise<Run> => call('GET', `${BASE}/runs/${part(id)}`),
  /** A page of runs, the newest first. `status`: several with commas between; all if empty. */
  /** How many tokens CLIP makes of a prompt. */
  tokens: (text: string, signal: AbortSignal): Promise<Tokens> => call('POST', `${BASE}/tokens`, { body: { text }, signal }),
  explain: (id: string): Promise<Explanation> => call('GET', `${BASE}/runs/${part(id)}/explain`),
  /** `search`: words in their titles, in the names of their files, in what their nodes were told */
  runs: (limit: number, offset = 0, status = '', search = ''): Promise<RunPage> => {
    const asked = { limit: `${limit}`, offset: `${offset}`, ...(status && { status }), ...(search && { search }) };
    return call('GET', `${BASE}/runs?${new URLSearchParams(asked)}`);
  },
  cancel: (id: string): Promise<Run> => call('POST', `${BASE}/runs/${part(id)}/cancel`),
  toFront: (id: string): Promise<Run> => call('PATCH', `${BASE}/runs/${part(id)}`, { body: { front: true } }),
  /** Where it waits: smaller numbers run first. */
  moveTo: (id: string, number: number): Promise<Run> => call('PATCH', `${BASE}/runs/${part(id)}`, { body: { number } }),
  retry: (id: string): Promise<Run> => call('POST', `${BASE}/runs/${part(id)}/retry`),
  forget: (id: string): Promise<null> => call('DELETE', `${BASE}/runs/${part(id)}`),
  clearQueue: (): Promise<null> => call('POST', `${BASE}/queue/clear`),
  queue: (): Promise<Queue> => call('GET', `${BASE}/queue`),
  pause: (paused: boolean): Promise<Queue> => call('POST', `${BASE}/queue/${paused ? 'pause' : 'resume'}`),

  async runWorkflow(id: string): Promise<Doc> {
    return checkDocument((await call<{ workflow: Json }>('GET', `${BASE}/runs/${part(id)}/workflow`)).workflow);
  },

  /** What a file widget may name: models of a folder, or pictures in the input folder. */
  async files(folder: string): Promise<readonly string[]> {
    if (folder !== 'input') return call('GET', `api/models/${part(folder)}`);
    const found = await call<readonly string[]>('GET', 'internal/files/input');
    return found.map((name) => name.replace(/ \[input\]$/, ''));
  },
};
