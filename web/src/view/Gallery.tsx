/** The workflows that are shipped, to begin with. */
import './Gallery.css';
import { Plus } from 'lucide-react';
import { type ReactElement, useEffect, useState } from 'react';
import { matcherOf } from '../document/words';
import { api } from '../network/api';
import { attempt } from '../state/actions';
import { newTab, show } from '../state/editor';
import { openSaved, openTemplate } from '../state/files';
import type { Kept, Template } from '../wire';
import { ago } from './ago';
import { Frame } from './Frame';
import { SearchField } from './SearchField';

export function Gallery(): ReactElement {
  const [templates, setTemplates] = useState<readonly Template[] | null>(null);
  const [saved, setSaved] = useState<readonly Kept[]>([]);
  const [query, setQuery] = useState('');
  const [tag, setTag] = useState<string | null>(null);
  useEffect(() => {
    void attempt(() => api.templates()).then((found) => setTemplates(found ?? []));
    void api.workflows().then(setSaved, () => undefined);
  }, []);
  const sorted = [...(templates ?? [])].sort((a, b) => rankOf(a) - rankOf(b));
  const tags = [...new Set(sorted.flatMap((one) => one.tags))];
  const fits = matcherOf(query);
  const found = sorted.filter(
    (one) => (tag === null || one.tags.includes(tag)) && fits(`${one.title} ${one.description} ${one.tags.join(' ')}`),
  );
  const mine = tag === null ? saved.filter((one) => fits(`${one.name} ${one.title}`)).sort((a, b) => b.modified - a.modified) : [];
  return (
    <Frame title="Begin with" wide>
      <div className="gallery-tools">
        <SearchField label="Search templates" value={query} onChange={setQuery} />
        {tags.map((one) => (
          <button type="button" key={one} className="chip" aria-pressed={tag === one} onClick={() => setTag(tag === one ? null : one)}>
            {one}
          </button>
        ))}
      </div>
      {mine.length > 0 && (
        <section aria-label="Your workflows">
          <h3>Your workflows</h3>
          <div className="gallery yours">
            {mine.slice(0, MOST_SAVED).map((one) => (
              <SavedCard key={one.name} kept={one} />
            ))}
          </div>
          <h3>Templates</h3>
        </section>
      )}
      <div className="gallery">
        {templates === null && <p className="quiet">Loading…</p>}
        {found.map((one) => (
          <button type="button" key={one.name} className="card" onClick={() => void openTemplate(one.name)}>
            {one.picture !== null ? <img src={one.picture} alt="" loading="lazy" /> : <Sketch name={one.name} nodes={one.nodes} />}
            <b>{one.title}</b>
            <span>{one.description}</span>
          </button>
        ))}
        {templates !== null && found.length === 0 && <p className="quiet">No template has all of these words.</p>}
        {query === '' && tag === null && (
          <button
            type="button"
            className="card"
            onClick={() => {
              newTab();
              show(null);
            }}
          >
            <span className="no-picture">
              <Plus size={28} />
            </span>
            <b>Empty canvas</b>
            <span>Build it from nothing.</span>
          </button>
        )}
      </div>
    </Frame>
  );
}

const MOST_SAVED = 4;

function SavedCard({ kept }: { readonly kept: Kept }): ReactElement {
  const open = async (): Promise<void> => {
    await openSaved(kept.name);
    show(null);
  };
  return (
    <button type="button" className="card" onClick={() => void open()}>
      {kept.thumbnail !== null ? (
        <img src={`${kept.thumbnail}?${Math.round(kept.modified)}`} alt="" loading="lazy" />
      ) : (
        <Sketch name={kept.name} nodes={5} />
      )}
      <b>{kept.name}</b>
      <span>{ago(kept.modified)}</span>
    </button>
  );
}

const FIRST = ['words to picture', 'picture to picture', 'animation', 'grid', 'compare'];

/** What most people come for stands first, the plainest before what is about more, training last. */
function rankOf(template: Template): number {
  const ranks = template.tags.map((tag) => FIRST.indexOf(tag)).filter((rank) => rank >= 0);
  return (ranks.length === 0 ? FIRST.length : Math.min(...ranks)) + Math.min(template.tags.length, 9) / 10;
}

const COLUMNS = 4;
const MOST_BOXES = 9;

/** In place of a picture: a small drawing of a graph, about as large as the workflow, always the same for the same name. */
function Sketch({ name, nodes }: { readonly name: string; readonly nodes: number }): ReactElement {
  const count = Math.min(MOST_BOXES, Math.max(3, nodes));
  const boxes = Array.from({ length: count }, (_, i) => boxAt(name, i, count));
  return (
    <svg className="no-picture sketch" viewBox="0 0 240 160" aria-hidden="true">
      {boxes.slice(1).map((to, i) => {
        const from = boxes[Math.max(0, i - (noise(name, i + 50) % 2))]!;
        const [x, y, toX, toY] = [from.x + from.width, from.y + 8, to.x, to.y + 8];
        return toX > x ? <path key={`${to.x} ${to.y}`} d={`M ${x},${y} C ${x + 16},${y} ${toX - 16},${toY} ${toX},${toY}`} /> : null;
      })}
      {boxes.map((box) => (
        <g key={`${box.x} ${box.y}`}>
          <rect {...box} rx={4} />
          <rect {...box} height={9} rx={4} className="head" />
        </g>
      ))}
    </svg>
  );
}

function boxAt(name: string, i: number, count: number): { x: number; y: number; width: number; height: number } {
  const rows = Math.ceil(count / COLUMNS);
  const [column, row] = [Math.floor(i / rows), i % rows];
  const columns = Math.ceil(count / rows);
  const [step, pitch] = [224 / columns, 136 / rows];
  return {
    x: Math.round(12 + column * step),
    y: Math.round(14 + row * pitch + (noise(name, i) % 12)),
    width: Math.round(step - 18),
    height: Math.round(Math.min(pitch - 16, 20 + (noise(name, i + 20) % 28))),
  };
}

/** Some number, always the same for the same text and place. */
function noise(text: string, at: number): number {
  let value = at * 7919 + 17;
  for (const letter of text) value = (value * 31 + letter.charCodeAt(0)) % 1_000_003;
  return value;
}
