/** Finding and adding a node: what is typed, and only what fits a link that was dropped. */
import './palette.css';
import { Fragment, type KeyboardEvent, type ReactElement, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { snap } from '../document/geometry';
import { type Found, searchNodes } from '../document/search';
import { joinLoose, splice } from '../gestures/canvas';
import { catalogOf, change, noteUsed, type Palette, perform, select, useEditor } from '../state/editor';
import { place } from '../state/mine';

/** The most it takes. The list gives way in a window of less. */
const [WIDTH, HEIGHT] = [420, 440];

export function PaletteView(): ReactElement | null {
  const palette = useEditor((state) => state.palette);
  return palette === null ? null : <Open palette={palette} />;
}

function Open({ palette }: { readonly palette: Palette }): ReactElement {
  const catalog = useEditor(catalogOf);
  const recent = useEditor((state) => state.recent);
  const [query, setQuery] = useState('');
  const [at, setAt] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const found = useMemo(() => searchNodes(catalog, query, palette.loose, recent), [catalog, query, palette.loose, recent]);
  const current = Math.min(at, found.length - 1);
  const close = (): void => change({ palette: null });

  useLayoutEffect(() => {
    const { style } = box.current!;
    const top = Math.max(8, Math.min(palette.screen[1] - 20, innerHeight - HEIGHT - 8));
    style.left = `${Math.max(8, Math.min(palette.screen[0] - 20, innerWidth - WIDTH - 8))}px`;
    style.top = `${top}px`;
    style.maxHeight = `${innerHeight - top - 8}px`;
  }, [palette]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: scrolled to when another one is the current
  useEffect(() => {
    box.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [current, found]);

  const pick = (one: Found | undefined): void => {
    if (one === undefined) return;
    close();
    let id = '';
    const offset = palette.loose?.side === 'input' ? -260 : 0;
    perform(`Add ${one.spec.title}`, (edit) => {
      id = place(edit, one.spec, [snap(palette.flow[0] + offset), snap(palette.flow[1] - 12)]);
    });
    if (palette.loose !== null && one.partner !== null) joinLoose(palette.loose, id, one.partner);
    if (palette.into !== undefined) splice(id, palette.into);
    noteUsed(one.spec.id);
    select([id]);
  };
  const onKey = (event: KeyboardEvent): void => {
    event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step !== undefined) setAt(Math.max(0, Math.min(found.length - 1, current + step)));
    else if (event.key === 'Enter') pick(found[current]);
    else if (event.key === 'Escape' || event.key === 'Tab') close();
    else return;
    event.preventDefault();
  };

  return (
    <>
      <div className="veil" onPointerDown={close} />
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the field inside */}
      <div className="palette" ref={box} onKeyDown={onKey}>
        <input
          // biome-ignore lint/a11y/noAutofocus: it was asked for by a key
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={found.length > 0 ? `palette-${current}` : undefined}
          aria-label="Search nodes"
          placeholder={palette.loose === null ? 'Add a node' : `What fits ${palette.loose.name.replaceAll('_', ' ')}`}
          value={query}
          onChange={(event) => {
            setQuery(event.target.value);
            setAt(0);
          }}
        />
        <div className="palette-list" id="palette-list" role="listbox" aria-label="Nodes">
          {found.length === 0 && <div className="picker-note">No node fits</div>}
          {found.map((one, i) => (
            <Fragment key={one.spec.id}>
              {one.group !== undefined && one.group !== found[i - 1]?.group && (
                <div className="palette-group" role="presentation">
                  {one.group}
                </div>
              )}
              {/* biome-ignore lint/a11y/useFocusableInteractive: the field has the focus */}
              {/* biome-ignore lint/a11y/useKeyWithClickEvents: the field hears the keys */}
              <div
                id={`palette-${i}`}
                role="option"
                aria-selected={i === current}
                className="palette-option"
                onPointerMove={() => setAt(i)}
                onClick={() => pick(one)}
              >
                <span>{one.spec.title}</span>
                {one.group !== one.spec.category && <small>{one.spec.category}</small>}
              </div>
            </Fragment>
          ))}
        </div>
        {found[current] !== undefined && <div className="palette-help">{firstParagraph(found[current].spec.description)}</div>}
      </div>
    </>
  );
}

function firstParagraph(text: string): string {
  return text.split('\n\n')[0] ?? '';
}
