// Made by web/wire_types.py from the server's own types; change those, then run it again.
import type { Json } from './document/json';

export interface WidgetSpec {
  readonly kind: 'number' | 'slider' | 'seed' | 'text' | 'choice' | 'switch' | 'model' | 'file' | 'color';
  readonly step?: number;
  readonly multiline?: boolean;
  readonly prompt?: boolean;
  readonly placeholder?: string;
  readonly accept?: string;
}

export interface InputSpec {
  readonly type: string;
  readonly required: boolean;
  readonly widget?: WidgetSpec;
  readonly default?: Json;
  readonly choices?: readonly Json[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly folder?: string;
  readonly lazy?: boolean;
  readonly mapped?: boolean;
  readonly raw?: boolean;
  readonly optional?: boolean;
  readonly tooltip?: string;
}

export interface OutputSpec {
  readonly type: string;
  readonly tooltip?: string;
}

export interface NodeSpec {
  readonly id: string;
  readonly title: string;
  readonly category: string;
  readonly description: string;
  readonly version: number;
  readonly status: 'stable' | 'beta' | 'deprecated';
  readonly pack: string;
  readonly lane: 'device' | 'cpu' | 'async';
  readonly output_node: boolean;
  readonly inputs: Readonly<Record<string, InputSpec>>;
  readonly outputs: Readonly<Record<string, OutputSpec>>;
}

export interface RunStartedEvent {
  readonly event: 'run_started';
  readonly seq: number;
  readonly time: number;
  readonly total: number;
  readonly cached: readonly string[];
}

export interface NodeStartedEvent {
  readonly event: 'node_started';
  readonly seq: number;
  readonly time: number;
  readonly node: string;
  readonly type: string;
}

export interface ProgressEvent {
  readonly event: 'progress';
  readonly seq: number;
  readonly time: number;
  readonly node: string;
  readonly value: number;
  readonly total: number | null;
  readonly text: string;
}

export interface PreviewEvent {
  readonly event: 'preview';
  readonly seq: number;
  readonly time: number;
  readonly node: string;
  readonly width: number;
  readonly height: number;
}

export interface LogEvent {
  readonly event: 'log';
  readonly seq: number;
  readonly time: number;
  readonly node: string;
  readonly level: 'info' | 'warning';
  readonly text: string;
}

export interface NodeFinishedEvent {
  readonly event: 'node_finished';
  readonly seq: number;
  readonly time: number;
  readonly node: string;
  readonly type: string;
  readonly seconds: number;
  readonly cached: boolean;
  readonly shown: readonly Readonly<Record<string, Json>>[];
  readonly nbytes: number;
}

export interface NodeBlockedEvent {
  readonly event: 'node_blocked';
  readonly seq: number;
  readonly time: number;
  readonly node: string;
  readonly reason: string;
}

export interface NodeFailedEvent {
  readonly event: 'node_failed';
  readonly seq: number;
  readonly time: number;
  readonly node: string;
  readonly error: ErrorJson;
}

export interface SpanEvent {
  readonly event: 'span';
  readonly seq: number;
  readonly time: number;
  readonly name: string;
  readonly node: string;
  readonly start: number;
  readonly seconds: number;
  readonly thread: string;
}

export interface RunFinishedEvent {
  readonly event: 'run_finished';
  readonly seq: number;
  readonly time: number;
  readonly status: 'done' | 'failed' | 'cancelled';
  readonly seconds: number;
  readonly executed: number;
  readonly cached: number;
}

export type EngineEvent =
  | RunStartedEvent
  | NodeStartedEvent
  | ProgressEvent
  | PreviewEvent
  | LogEvent
  | NodeFinishedEvent
  | NodeBlockedEvent
  | NodeFailedEvent
  | SpanEvent
  | RunFinishedEvent;

export interface ErrorJson {
  readonly code: string;
  readonly error: string;
  readonly message: string;
  readonly hint?: string;
  readonly node?: string;
  readonly node_type?: string;
  readonly input?: string;
  readonly errors?: readonly ErrorJson[];
}

export interface Fault {
  readonly error: ErrorJson;
}

export interface Tokens {
  readonly chunks: readonly number[];
  readonly size: number;
}

export interface Kept {
  readonly name: string;
  readonly title: string;
  readonly version: number;
  readonly modified: number;
  readonly etag: string;
  readonly size: number;
  readonly thumbnail: string | null;
}

export interface Stale {
  readonly error: ErrorJson;
  readonly present: Kept | null;
}

export interface Nodes {
  readonly nodes: Readonly<Record<string, Readonly<Record<string, Json>>>>;
  readonly types: Readonly<Record<string, SocketType>>;
  readonly casts: readonly (readonly string[])[];
  readonly packs: Readonly<Record<string, Pack>>;
}

export interface SocketType {
  readonly color: string;
  readonly description: string;
  readonly parents: readonly string[];
}

export interface Pack {
  readonly nodes: readonly string[];
  readonly code: string;
  readonly error?: ErrorJson;
}

export interface Verdict {
  readonly ok: boolean;
  readonly problems: readonly ErrorJson[];
  readonly left_out: readonly ErrorJson[];
  readonly warnings: readonly string[];
  readonly format: string | null;
  readonly nodes: number;
}

export interface Converted {
  readonly workflow: Readonly<Record<string, Json>>;
  readonly format: string;
  readonly warnings: readonly string[];
}

export interface Script {
  readonly script: string;
  readonly warnings: readonly string[];
}

export interface KeptList {
  readonly workflows: readonly Kept[];
}

export interface KeptWorkflow {
  readonly name: string;
  readonly title: string;
  readonly version: number;
  readonly modified: number;
  readonly etag: string;
  readonly size: number;
  readonly thumbnail: string | null;
  readonly workflow: Readonly<Record<string, Json>>;
  readonly warnings?: readonly string[];
}

export interface MyNodes {
  readonly nodes: readonly KeptWorkflow[];
}

export interface Version {
  readonly version: number;
  readonly modified: number;
  readonly etag: string;
  readonly size: number;
}

export interface Versions {
  readonly versions: readonly Version[];
}

export interface OneVersion {
  readonly version: number;
  readonly modified: number;
  readonly etag: string;
  readonly size: number;
  readonly workflow: Readonly<Record<string, Json>>;
}

export interface Template {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly picture: string | null;
  readonly nodes: number;
  readonly tags: readonly string[];
}

export interface Templates {
  readonly templates: readonly Template[];
}

export interface OneTemplate {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly picture: string | null;
  readonly nodes: number;
  readonly tags: readonly string[];
  readonly workflow: Readonly<Record<string, Json>>;
}

export interface Run {
  readonly id: string;
  readonly status: string;
  readonly title: string;
  readonly number: number;
  readonly created: number;
  readonly started: number | null;
  readonly ended: number | null;
  readonly attempt: number;
  readonly targets: readonly string[] | null;
  readonly retry_of: string | null;
  readonly outputs: Readonly<Record<string, readonly Readonly<Record<string, Json>>[]>>;
  readonly error: ErrorJson | null;
  readonly links: Readonly<Record<string, string>>;
}

export interface Accepted {
  readonly id: string;
  readonly status: string;
  readonly title: string;
  readonly number: number;
  readonly created: number;
  readonly started: number | null;
  readonly ended: number | null;
  readonly attempt: number;
  readonly targets: readonly string[] | null;
  readonly retry_of: string | null;
  readonly outputs: Readonly<Record<string, readonly Readonly<Record<string, Json>>[]>>;
  readonly error: ErrorJson | null;
  readonly links: Readonly<Record<string, string>>;
  readonly warnings?: readonly string[];
  readonly left_out?: readonly ErrorJson[];
}

export interface RunPage {
  readonly runs: readonly Run[];
  readonly total: number;
  readonly limit: number;
  readonly offset: number;
}

export interface Queue {
  readonly paused: boolean;
  readonly running: readonly Run[];
  readonly pending: readonly Run[];
  readonly remaining: number;
}

export interface Cleared {
  readonly cancelled: number;
}

export interface RunDocument {
  readonly workflow: Readonly<Record<string, Json>>;
}

export interface RunEvent {
  readonly seq: number;
  readonly time: number;
  readonly event: string;
}

export interface RunEvents {
  readonly events: readonly Readonly<Record<string, Json>>[];
  readonly last: number;
}

export interface Explained {
  readonly node: string;
  readonly type: string;
  readonly ran: boolean | null;
  readonly seconds: number | null;
  readonly reasons: readonly string[];
}

export interface Explanation {
  readonly run: string;
  readonly since: string | null;
  readonly nodes: readonly Explained[];
}

export interface Asset {
  readonly hash: string;
  readonly name: string;
  readonly folder: string;
  readonly size: number;
  readonly mime: string;
  readonly url: string;
}

export interface Uploaded {
  readonly hash: string;
  readonly name: string;
  readonly folder: string;
  readonly size: number;
  readonly mime: string;
  readonly url: string;
  readonly new: boolean;
}

export interface OutputAsset {
  readonly hash: string;
  readonly name: string;
  readonly folder: string;
  readonly size: number;
  readonly mime: string;
  readonly url: string;
  readonly node: string;
  readonly kind: string;
}

export interface Assets {
  readonly assets: readonly OutputAsset[];
  readonly missing: readonly string[];
}

export interface RunRequest {
  readonly workflow: Readonly<Record<string, Json>> | string;
  readonly overrides?: Readonly<Record<string, Json>>;
  readonly targets?: readonly string[] | null;
  readonly id?: string | null;
  readonly title?: string;
  readonly front?: boolean;
  readonly number?: number | null;
  readonly previews?: boolean;
  readonly trace?: boolean;
  readonly secrets?: Readonly<Record<string, string>>;
}
