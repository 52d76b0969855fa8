/** What a node shows: the picture as it forms, then the result; several with a strip to choose from. */
import { ChevronLeft, ChevronRight } from 'lucide-react';
import { type ReactElement, useState } from 'react';
import { smallAddress } from '../network/pictures';
import { viewInTab } from '../state/pictures';
import type { NodeRun, ShownItem } from '../state/runs';
import './shown.css';

const LARGE = 640;
const SMALL = 40;

export function Shown({ run }: { readonly run: NodeRun | undefined }): ReactElement | null {
  const shown = run?.shown ?? [];
  const live = run?.status === 'running' ? run.preview : undefined;
  const pictures = shown.filter((item) => item.url !== undefined && item.kind === 'image');
  if (live !== undefined || (pictures.length === 0 && run?.preview !== undefined)) {
    return <img className="live" src={live ?? run?.preview} alt="Work in progress" draggable={false} />;
  }
  if (pictures.length > 0) return <Pictures pictures={pictures} />;
  const text = shown.map((item) => item.text ?? item.name ?? '').join('\n');
  return text === '' ? <div className="shown-nothing" /> : <pre className="shown-text nowheel nodrag">{text}</pre>;
}

function Pictures({ pictures }: { readonly pictures: readonly ShownItem[] }): ReactElement {
  const [chosen, setChosen] = useState(0);
  const at = Math.min(chosen, pictures.length - 1);
  const now = pictures[at]!;
  return (
    <div className="pictures nodrag">
      <button type="button" className="picture-now" aria-label={`Show ${now.name ?? 'picture'} large`} onClick={() => viewInTab(now.url!)}>
        <img src={smallAddress(now.url!, LARGE)} alt={now.name ?? ''} draggable={false} loading="lazy" />
      </button>
      {pictures.length > 1 && <Strip pictures={pictures} at={at} onPick={setChosen} />}
    </div>
  );
}

interface StripProps {
  readonly pictures: readonly ShownItem[];
  readonly at: number;
  readonly onPick: (at: number) => void;
}

function Strip({ pictures, at, onPick }: StripProps): ReactElement {
  const step = (by: number): void => onPick((at + by + pictures.length) % pictures.length);
  return (
    <div className="picture-strip">
      <button type="button" className="mini" aria-label="The picture before" onClick={() => step(-1)}>
        <ChevronLeft size={14} />
      </button>
      <div className="picture-thumbs nowheel">
        {pictures.map((item, i) => (
          <button
            type="button"
            key={item.url}
            className={i === at ? 'now' : ''}
            aria-label={`Picture ${i + 1} of ${pictures.length}`}
            aria-current={i === at}
            onClick={() => onPick(i)}
          >
            <img src={smallAddress(item.url!, SMALL)} alt="" draggable={false} loading="lazy" />
          </button>
        ))}
      </div>
      <span className="picture-count">
        {at + 1}/{pictures.length}
      </span>
      <button type="button" className="mini" aria-label="The next picture" onClick={() => step(1)}>
        <ChevronRight size={14} />
      </button>
    </div>
  );
}
