/** Painting a mask on a picture of the input folder. */
import {
  Brush,
  CircleDashed,
  Contrast,
  Eraser,
  Lasso,
  Maximize,
  PaintBucket,
  Redo2,
  Save,
  Square,
  SquareDashed,
  Trash2,
  Undo2,
} from 'lucide-react';
import { type ReactElement, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { LARGEST, resized, SMALLEST } from '../../document/painting/brush';
import { type Area, fill, invert, PAINTED, seenOn, tinted } from '../../document/painting/mask';
import { Painting } from '../../document/painting/painting';
import type { PaintTarget } from '../../document/picture';
import { CRISP_FROM } from '../../document/viewport';
import { type Dialog, show } from '../../state/editor';
import { openToPaint, savePainted } from '../../state/pictures';
import { Act, type Action, Studio } from './Studio';
import { type Settings, type Tool, useBrush } from './useBrush';
import { lookingKeys, useHands, useStage } from './useStage';

interface Opened {
  readonly picture: HTMLImageElement;
  readonly painting: Painting;
}

const TINT = [255, 48, 96] as const;
const START: Settings = { tool: 'brush', radius: 24, hardness: 0.8, erase: false, opacity: 0.6 };

export function PaintDialog({ dialog }: { readonly dialog: Extract<Dialog, { kind: 'paint' }> }): ReactElement {
  const { target } = dialog;
  const [opened, setOpened] = useState<Opened | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  useEffect(() => {
    let isWanted = true;
    openToPaint(target.file).then(
      ({ picture, mask }) => isWanted && setOpened({ picture, painting: new Painting(mask) }),
      (error: unknown) => isWanted && setFault(error instanceof Error ? error.message : String(error)),
    );
    return () => {
      isWanted = false;
    };
  }, [target.file]);
  if (opened !== null) return <Painter target={target} opened={opened} />;
  return (
    <Studio title={`Mask on ${target.file}`} actions={[]} bar={<span className="studio-space" />} onClose={() => show(null)}>
      <div className="studio-message" role={fault === null ? 'status' : 'alert'}>
        {fault === null ? <span className="spinner" /> : fault}
      </div>
    </Studio>
  );
}

function Painter({ target, opened }: { readonly target: PaintTarget; readonly opened: Opened }): ReactElement {
  const { picture, painting } = opened;
  const { width, height } = painting.mask;
  const stage = useStage(width, height);
  const [settings, setSettings] = useSettings(width, height);
  const [state, setState] = useState<'same' | 'changed' | 'saving'>('same');
  const [, setSteps] = useState(0);
  const canvas = useRef<HTMLCanvasElement>(null);
  const change = (part: Partial<Settings>): void => setSettings((now) => ({ ...now, ...part }));

  const draw = (area: Area | null): void => {
    if (area === null) return;
    const part = seenOn(stage.room, stage.view, area);
    if (part === null) return;
    const pixels = new ImageData(tinted(painting.mask, stage.view, part, TINT), part.width, part.height);
    canvas.current!.getContext('2d')!.putImageData(pixels, part.x, part.y);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: all of it anew where it is looked at in another way; else only what changes
  useLayoutEffect(() => {
    canvas.current!.getContext('2d')!.clearRect(0, 0, stage.room.width, stage.room.height);
    draw(painting.mask.whole);
  }, [painting, stage.view, stage.room]);
  const edit = (area: Area | null, work: () => void): void => {
    if (area === null) return;
    painting.change(area, work);
    draw(area);
  };
  const finish = (): void => {
    if (painting.finish()) setState('changed');
    setSteps((count) => count + 1);
  };
  const all = (work: () => void): void => {
    edit(painting.mask.whole, work);
    finish();
  };
  const step = (area: Area | null): void => {
    draw(area);
    setState('changed');
    setSteps((count) => count + 1);
  };
  const hand = useBrush(stage, settings, painting, { edit, finish, draw });
  const hands = useHands(stage, hand.hand);

  const close = (): void => {
    if (state !== 'changed' || confirm('The mask was changed and is not saved. Close it and lose what was painted?')) show(null);
  };
  const save = async (): Promise<void> => {
    setState('saving');
    if (await savePainted(target, painting.mask)) show(null);
    else setState('changed');
  };

  const { tool, erase } = settings;
  const pick = (name: Tool, label: string, key: string, icon: ReactElement): Action => ({
    label,
    keys: [key],
    icon,
    on: tool === name,
    run: () => change({ tool: name }),
  });
  const tools: readonly Action[] = [
    pick('brush', 'Brush', 'B', <Brush size={16} />),
    pick('lasso', 'Outline: its inside is painted', 'L', <Lasso size={16} />),
    pick('bucket', 'Fill up to the edge of what is painted', 'G', <PaintBucket size={16} />),
    {
      label: 'Erase, as the right button does',
      keys: ['X', 'E'],
      icon: <Eraser size={16} />,
      on: erase,
      run: () => change({ erase: !erase }),
    },
  ];
  const whole: readonly Action[] = [
    {
      label: 'Paint everything',
      keys: ['A'],
      icon: <Square size={16} fill="currentColor" />,
      run: () => all(() => fill(painting.mask, PAINTED)),
    },
    { label: 'Invert', keys: ['I'], icon: <Contrast size={16} />, run: () => all(() => invert(painting.mask)) },
    { label: 'Clear', keys: ['Delete', 'Backspace'], icon: <Trash2 size={16} />, run: () => all(() => fill(painting.mask, 0)) },
  ];
  const steps: readonly Action[] = [
    { label: 'Undo', keys: ['Mod+Z'], icon: <Undo2 size={16} />, disabled: !painting.canUndo, run: () => step(painting.undo()) },
    {
      label: 'Redo',
      keys: ['Mod+Shift+Z', 'Mod+Y'],
      icon: <Redo2 size={16} />,
      disabled: !painting.canRedo,
      run: () => step(painting.redo()),
    },
  ];
  const looks: readonly Action[] = [
    { label: 'Show all of it', keys: ['0', 'F'], icon: <Maximize size={16} />, run: stage.fit },
    { label: 'One pixel as one', keys: ['1'], icon: <SquareDashed size={16} />, run: stage.actual },
  ];
  const saving: Action = {
    label: 'Save the mask',
    keys: ['Mod+S', 'Mod+Enter'],
    disabled: state === 'saving',
    run: () => void save(),
  };
  const unseen: readonly Action[] = [
    { label: 'Smaller', keys: ['['], run: () => change({ radius: resized(settings.radius, -1) }) },
    { label: 'Larger', keys: [']'], run: () => change({ radius: resized(settings.radius, 1) }) },
    { label: 'Softer', keys: ['Shift+{', 'Shift+['], run: () => change({ hardness: Math.max(0, settings.hardness - 0.1) }) },
    { label: 'Harder', keys: ['Shift+}', 'Shift+]'], run: () => change({ hardness: Math.min(1, settings.hardness + 0.1) }) },
    {
      label: 'Mask more or less visible',
      keys: ['O'],
      run: () => change({ opacity: settings.opacity > 0.75 ? 0.2 : settings.opacity + 0.2 }),
    },
    ...lookingKeys(stage),
    ...hand.keys,
  ];

  const { x, y, scale } = stage.view;
  const bar = (
    <>
      <span className="studio-group">
        {tools.map((action) => (
          <Act key={action.label} action={action} />
        ))}
      </span>
      <Slide
        label="Size"
        hint="[ and ]"
        value={Math.sqrt(settings.radius / LARGEST)}
        text={`${Math.round(settings.radius * 2)} px`}
        onChange={(value) => change({ radius: Math.max(SMALLEST, Math.round(value * value * LARGEST * 2) / 2) })}
      />
      <Slide label="Hardness" hint="{ and }" value={settings.hardness} onChange={(hardness) => change({ hardness })} />
      <Slide label="Overlay" hint="O" value={settings.opacity} onChange={(opacity) => change({ opacity })} />
      <span className="studio-group">
        {[...whole, ...steps].map((action) => (
          <Act key={action.label} action={action} />
        ))}
      </span>
      <span className="studio-space" />
      <span className="studio-group">
        <span className="studio-zoom">{Math.round(scale * 100)} %</span>
        {looks.map((action) => (
          <Act key={action.label} action={action} />
        ))}
      </span>
      <button type="button" className="button primary small" title="Save (Ctrl+S)" disabled={state === 'saving'} onClick={saving.run}>
        <Save size={14} /> Save
      </button>
    </>
  );
  return (
    <Studio
      title={`Mask on ${target.file}`}
      actions={[...tools, ...whole, ...steps, ...looks, saving, ...unseen]}
      bar={bar}
      onClose={close}
    >
      {/* biome-ignore lint/a11y/noStaticElementInteractions: a drawing surface; arrow keys and Enter paint as well */}
      <div
        ref={stage.element}
        className={`stage-room tool-${tool}${erase ? ' erasing' : ''}`}
        onContextMenu={(event) => event.preventDefault()}
        onPointerLeave={hand.onLeave}
        {...hands}
        onPointerMove={(event) => {
          hand.onHover(event);
          hands.onPointerMove(event);
        }}
      >
        <div
          className={scale >= CRISP_FROM ? 'sheet crisp' : 'sheet'}
          style={{ width, height, transform: `translate(${x}px, ${y}px) scale(${scale})` }}
        >
          <img src={picture.src} alt={target.file} width={width} height={height} draggable={false} />
        </div>
        <canvas
          ref={canvas}
          className="mask-layer"
          width={stage.room.width}
          height={stage.room.height}
          style={{ opacity: settings.opacity }}
        />
        <svg className="outline" aria-hidden="true">
          <polygon ref={hand.outline} />
        </svg>
        <div ref={hand.ring} className="brush-ring" style={{ width: 2 * settings.radius * scale, height: 2 * settings.radius * scale }} />
      </div>
      <footer className="studio-foot">
        <span>
          <CircleDashed size={12} /> What is painted is drawn anew.
        </span>
        <span>Right button erases · wheel zooms · middle button moves · two fingers do both · Shift+click draws a line</span>
        <span>
          {width} × {height}
        </span>
      </footer>
    </Studio>
  );
}

interface Slider {
  readonly label: string;
  readonly hint: string;
  readonly value: number;
  readonly text?: string;
  readonly onChange: (value: number) => void;
}

function Slide({ label, hint, value, text, onChange }: Slider): ReactElement {
  return (
    <label className="slide" title={`${label} (${hint})`}>
      <span>{label}</span>
      <input
        type="range"
        min={0}
        max={1}
        step={0.01}
        value={value}
        aria-valuetext={text ?? `${Math.round(value * 100)} %`}
        onChange={(event) => onChange(Number(event.target.value))}
      />
      <output>{text ?? `${Math.round(value * 100)} %`}</output>
    </label>
  );
}

/** The brush is as it was left; its size fits the picture at first. */
function useSettings(width: number, height: number): [Settings, (change: (now: Settings) => Settings) => void] {
  const [settings, setSettings] = useState<Settings>(() => ({
    ...START,
    radius: Math.max(2, Math.round(Math.max(width, height) / 24)),
    ...kept(),
  }));
  useEffect(() => {
    try {
      localStorage.setItem('brush', JSON.stringify({ hardness: settings.hardness, opacity: settings.opacity }));
    } catch {
      // a browser that keeps nothing begins with the same brush each time
    }
  }, [settings.hardness, settings.opacity]);
  return [settings, setSettings];
}

function kept(): Partial<Settings> {
  try {
    const found = JSON.parse(localStorage.getItem('brush') ?? '{}') as Record<string, unknown>;
    const share = (name: string): Record<string, number> => {
      const value = found[name];
      return typeof value === 'number' && value >= 0 && value <= 1 ? { [name]: value } : {};
    };
    return { ...share('hardness'), ...share('opacity') };
  } catch {
    return {};
  }
}
