/** Pictures looked at closely: one, two side by side, or two under a slider; with how they were made and what to do with them. */
import {
  ArrowLeft,
  ArrowRight,
  Brush,
  Columns2,
  Copy,
  Download,
  FolderOpen,
  Info,
  Maximize,
  SeparatorVertical,
  Sprout,
  SquareArrowRight,
  SquareDashed,
} from 'lucide-react';
import { type CSSProperties, type ReactElement, useEffect, useRef, useState } from 'react';
import { type Fact, factsOf, type Picture } from '../../document/picture';
import { CRISP_FROM, type Size } from '../../document/viewport';
import { loadPicture, smallAddress } from '../../network/pictures';
import { attempt } from '../../state/actions';
import { type Dialog, show, tell, useEditor } from '../../state/editor';
import { copyPicture, loadWorkflowOf, paintOn, sendToInput, workflowOf } from '../../state/pictures';
import { Facts } from './Facts';
import { Act, type Action, Studio } from './Studio';
import { lookingKeys, type Stage, useHands, useStage } from './useStage';

type Mode = 'one' | 'slider' | 'beside';

export function Viewer({ dialog }: { readonly dialog: Extract<Dialog, { kind: 'viewer' }> }): ReactElement {
  const { pictures } = dialog;
  const [at, setAt] = useState(Math.min(dialog.at, pictures.length - 1));
  const [other, setOther] = useState(() => (at > 0 ? at - 1 : Math.min(1, pictures.length - 1)));
  const [mode, setMode] = useState<Mode>('one');
  const [info, setInfo] = useState(false);
  const picture = pictures[at]!;
  const loaded = useLoaded(picture.url);
  const size = typeof loaded === 'object' ? loaded : null;
  const stage = useStage(size?.width ?? 0, size?.height ?? 0);
  const hands = useHands(stage, null);
  const facts = useFacts(picture, info);
  const many = pictures.length > 1;

  const go = (by: number): void => setAt((now) => (now + by + pictures.length) % pictures.length);
  const goOther = (by: number): void => setOther((now) => (now + by + pictures.length) % pictures.length);
  const toggle = (which: Mode): void => setMode(mode === which ? 'one' : which);
  const copySeed = async (): Promise<void> => {
    const seed = (facts ?? (await factsAbout(picture)))?.find((fact) => fact.kind === 'seed');
    if (seed === undefined) tell('No seed is known of this picture');
    else await attempt(() => copyText(seed.value)).then((done) => done !== null && tell(`Copied the seed ${seed.value}`));
  };

  const walk: readonly Action[] = [
    { label: 'The one before', keys: ['ArrowLeft'], icon: <ArrowLeft size={16} />, disabled: !many, run: () => go(-1) },
    { label: 'The next', keys: ['ArrowRight'], icon: <ArrowRight size={16} />, disabled: !many, run: () => go(1) },
  ];
  const compare: readonly Action[] = [
    {
      label: 'Compare with a slider',
      keys: ['C'],
      icon: <SeparatorVertical size={16} />,
      on: mode === 'slider',
      disabled: !many,
      run: () => toggle('slider'),
    },
    {
      label: 'Side by side',
      keys: ['S'],
      icon: <Columns2 size={16} />,
      on: mode === 'beside',
      disabled: !many,
      run: () => toggle('beside'),
    },
  ];
  const looks: readonly Action[] = [
    { label: 'Show all of it', keys: ['0', 'F'], icon: <Maximize size={16} />, run: stage.fit },
    { label: 'One pixel as one', keys: ['1'], icon: <SquareDashed size={16} />, run: stage.actual },
  ];
  const acts: readonly Action[] = [
    { label: 'Copy the seed', keys: ['E'], icon: <Sprout size={16} />, run: () => void copySeed() },
    { label: 'Copy the picture', keys: ['Mod+C'], icon: <Copy size={16} />, run: () => void copyPicture(picture) },
    { label: 'Download', keys: ['D'], icon: <Download size={16} />, run: () => download(picture) },
    { label: 'Open the workflow that made it', keys: ['W'], icon: <FolderOpen size={16} />, run: () => void loadWorkflowOf(picture) },
    { label: 'Send to the input', keys: ['Enter'], icon: <SquareArrowRight size={16} />, run: () => void sendToInput(picture) },
    { label: 'Paint a mask', keys: ['M'], icon: <Brush size={16} />, run: () => void paintOn(picture) },
    { label: 'How it was made', keys: ['I'], icon: <Info size={16} />, on: info, run: () => setInfo(!info) },
  ];
  const unseen: readonly Action[] = [
    ...lookingKeys(stage),
    { label: 'First', keys: ['Home'], run: () => setAt(0) },
    { label: 'Last', keys: ['End'], run: () => setAt(pictures.length - 1) },
    { label: 'Compare with the one before', keys: ['Shift+ArrowLeft'], run: () => goOther(-1) },
    { label: 'Compare with the next', keys: ['Shift+ArrowRight'], run: () => goOther(1) },
  ];
  const group = (actions: readonly Action[]): ReactElement => (
    <span className="studio-group">
      {actions.map((action) => (
        <Act key={action.label} action={action} />
      ))}
    </span>
  );
  const note = [many ? `${at + 1} of ${pictures.length}` : '', picture.label ?? '', size ? `${size.width} × ${size.height}` : ''];
  return (
    <Studio
      title={picture.name || 'Picture'}
      note={note.filter(Boolean).join(' · ')}
      actions={[...walk, ...compare, ...looks, ...acts, ...unseen]}
      onClose={() => show(dialog.back ?? null)}
      bar={
        <>
          <span className="studio-space" />
          {group(walk)}
          {group(compare)}
          <span className="studio-group">
            <span className="studio-zoom">{Math.round(stage.view.scale * 100)} %</span>
            {looks.map((action) => (
              <Act key={action.label} action={action} />
            ))}
          </span>
          {group(acts)}
        </>
      }
    >
      <div className="viewer-middle">
        <div className={`viewer-pictures ${mode}`}>
          {/* biome-ignore lint/a11y/noStaticElementInteractions: moved by keys too */}
          <div ref={stage.element} className="stage-room looking" {...hands} onDoubleClick={() => doubleClick(stage)}>
            {size !== null && <Sheet picture={picture} size={size} stage={stage} />}
            {mode === 'beside' && <span className="viewer-label">{picture.label || picture.name}</span>}
            {typeof loaded === 'string' && <div className="studio-message">{loaded}</div>}
            {mode === 'slider' && size !== null && many && (
              <Divided picture={pictures[other]!} size={size} stage={stage} name={picture.label || picture.name} />
            )}
          </div>
          {mode === 'beside' && size !== null && (
            // biome-ignore lint/a11y/noStaticElementInteractions: moved by keys too
            <div className="stage-room looking" {...hands}>
              <Sheet picture={pictures[other]!} size={size} stage={stage} />
              <span className="viewer-label">{pictures[other]!.label || pictures[other]!.name}</span>
            </div>
          )}
        </div>
        {info && <Facts picture={picture} facts={facts} onCopy={(text) => void attempt(() => copyText(text)).then(() => tell('Copied'))} />}
      </div>
      {many && <Strip pictures={pictures} at={at} other={mode === 'one' ? -1 : other} onPick={setAt} onOther={setOther} />}
    </Studio>
  );
}

function doubleClick(stage: Stage): void {
  if (Math.abs(stage.view.scale - 1) < 0.01) stage.fit();
  else stage.actual();
}

/** The size of a picture once it is there, or why it is not; null while it is fetched. */
function useLoaded(url: string): Size | string | null {
  const [loaded, setLoaded] = useState<{ readonly url: string; readonly found: Size | string } | null>(null);
  useEffect(() => {
    let isWanted = true;
    const note = (found: Size | string): void => void (isWanted && setLoaded({ url, found }));
    loadPicture(url).then(
      (image) => note({ width: image.naturalWidth, height: image.naturalHeight }),
      (error: unknown) => note(error instanceof Error ? error.message : String(error)),
    );
    return () => {
      isWanted = false;
    };
  }, [url]);
  return loaded?.url === url ? loaded.found : null;
}

function Sheet({ picture, size, stage }: { readonly picture: Picture; readonly size: Size; readonly stage: Stage }): ReactElement {
  const { x, y, scale } = stage.view;
  const style: CSSProperties = { width: size.width, height: size.height, transform: `translate(${x}px, ${y}px) scale(${scale})` };
  return (
    <div className={scale >= CRISP_FROM ? 'sheet crisp' : 'sheet'} style={style}>
      <img src={picture.url} alt={picture.name} width={size.width} height={size.height} draggable={false} />
    </div>
  );
}

interface DividedProps {
  readonly picture: Picture;
  readonly size: Size;
  readonly stage: Stage;
  readonly name: string;
}

/** The other picture over the left part of the stage; the line between them is dragged, or moved by arrow keys. */
function Divided({ picture, size, stage, name }: DividedProps): ReactElement {
  const [share, setShare] = useState(0.5);
  const over = useRef<HTMLDivElement>(null);
  const shareAt = (x: number): number => {
    const { left, width } = over.current!.parentElement!.getBoundingClientRect();
    return Math.max(0, Math.min(1, (x - left) / width));
  };
  return (
    <>
      <div ref={over} className="divided" style={{ clipPath: `inset(0 ${(1 - share) * 100}% 0 0)` }}>
        <Sheet picture={picture} size={size} stage={stage} />
      </div>
      <div
        className="divider"
        role="slider"
        tabIndex={0}
        aria-label={`Between ${picture.name} and ${name}`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share * 100)}
        style={{ left: `${share * 100}%` }}
        onPointerDown={(event) => {
          event.stopPropagation();
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={(event) => event.buttons !== 0 && setShare(shareAt(event.clientX))}
        onDoubleClick={(event) => event.stopPropagation()}
        onKeyDown={(event) => {
          const by = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
          if (by !== undefined) setShare((now) => Math.max(0, Math.min(1, now + by)));
        }}
      />
      <span className="viewer-label">{picture.label || picture.name}</span>
      <span className="viewer-label right">{name}</span>
    </>
  );
}

interface StripProps {
  readonly pictures: readonly Picture[];
  readonly at: number;
  readonly other: number;
  readonly onPick: (at: number) => void;
  readonly onOther: (at: number) => void;
}

function Strip({ pictures, at, other, onPick, onOther }: StripProps): ReactElement {
  const row = useRef<HTMLDivElement>(null);
  useEffect(() => {
    row.current?.children[at]?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [at]);
  return (
    <div className="viewer-strip" ref={row}>
      {pictures.map((picture, i) => (
        <button
          type="button"
          key={`${picture.node} ${picture.url}`}
          className={`${i === at ? 'now' : ''}${i === other ? ' other' : ''}`}
          aria-label={`${picture.label ?? ''} ${picture.name}`.trim()}
          aria-current={i === at}
          title={`${picture.label ?? picture.name}\nShift+click: compare with this one`}
          onClick={(event) => (event.shiftKey ? onOther(i) : onPick(i))}
        >
          <img src={smallAddress(picture.url, 56)} alt="" loading="lazy" draggable={false} />
        </button>
      ))}
    </div>
  );
}

async function factsAbout(picture: Picture): Promise<readonly Fact[] | null> {
  const doc = await workflowOf(picture).catch(() => null);
  return doc === null ? null : factsOf(doc, useEditor.getState().catalog, picture.node);
}

/** null while they are fetched; an empty list if nothing is known. */
function useFacts(picture: Picture, wanted: boolean): readonly Fact[] | null {
  const [known, setKnown] = useState<{ readonly picture: Picture; readonly facts: readonly Fact[] } | null>(null);
  useEffect(() => {
    if (wanted) void factsAbout(picture).then((facts) => setKnown({ picture, facts: facts ?? [] }));
  }, [picture, wanted]);
  return known?.picture === picture ? known.facts : null;
}

async function copyText(text: string): Promise<true> {
  await navigator.clipboard.writeText(text);
  return true;
}

function download(picture: Picture): void {
  const name = picture.name.slice(picture.name.lastIndexOf('/') + 1);
  Object.assign(document.createElement('a'), { href: picture.url, download: name || 'picture.png' }).click();
}
