/** One node. Everything in it has a place that was worked out from its description, so nothing is measured. */
import { Handle, type NodeProps, NodeResizeControl, Position } from '@xyflow/react';
import { ChevronDown, ChevronRight, Layers } from 'lucide-react';
import { type CSSProperties, memo, type ReactElement, useContext } from 'react';
import { describeInput, type InputSpec, literalOf, type NodeSpec } from '../document/catalog';
import { drawable } from '../document/colors';
import { resetInput, setInput } from '../document/edits/links';
import { setTitle, toggleCollapsed } from '../document/edits/nodes';
import { HEADER, MIN_WIDTH, ROW, type Row, shownOutputs, WIDGET } from '../document/geometry';
import { get, type Json } from '../document/json';
import { faultOf } from '../document/literals';
import { packOf } from '../document/missing';
import { asLink, definitionOf } from '../document/model';
import { joint, typeName } from '../document/types';
import { currentCatalog, currentDoc, perform, useEditor } from '../state/editor';
import type { FlowNode, NodeData } from '../state/flow';
import { enter, problemOf, runOf } from '../state/inside';
import { rename, useRenaming } from '../state/renaming';
import { type NodeRun, useRuns } from '../state/runs';
import { Widget } from '../widgets/widgets';
import { FarNode } from './far/FarNode';
import { Far } from './far/far';
import { HelpButton, Mark, More } from './NodeParts';
import { Shown } from './Shown';
import { TitleField } from './TitleField';
import './node.css';

export const NodeView = memo(
  function NodeView({ id, data, selected }: NodeProps<FlowNode>): ReactElement {
    const far = useContext(Far);
    const run = useRuns((state) => runOf(state, id));
    const problem = useEditor((state) => problemOf(state, id));
    const { entry, geometry, layout, spec } = data;
    const color = drawable(layout?.color);
    const state = [
      'node',
      selected && 'selected',
      entry.mode,
      run && `run-${run.status}`,
      (problem !== undefined || run?.status === 'failed') && 'wrong',
      spec === undefined && 'unknown',
      color && 'tinted',
    ];
    const style = { height: geometry.height, ...(color ? { '--node': color } : {}) } as CSSProperties;
    const names = state.filter(Boolean).join(' ');
    if (far) return <FarNode className={names} data={data} run={run} />;
    return (
      <div className={names} style={style}>
        <Header id={id} data={data} run={run} selected={selected} />
        {geometry.rows.length === 0 && <Gathered data={data} />}
        {geometry.rows.map((row) => (
          <RowView key={keyOf(row)} id={id} row={row} data={data} run={run} />
        ))}
        {problem !== undefined && (
          <div className="node-problem">{problem.input ? `${problem.input}: ${problem.message}` : problem.message}</div>
        )}
        {selected && geometry.rows.length > 0 && (
          <NodeResizeControl position="bottom-right" minWidth={MIN_WIDTH} minHeight={geometry.minHeight} className="resizer" />
        )}
      </div>
    );
  },
  (before, after) => before.data === after.data && before.selected === after.selected,
);

function keyOf(row: Row): string {
  return row.kind === 'slots' ? `s${row.y}` : row.kind === 'widget' ? `w${row.input}` : row.kind;
}

// ------------------------------------------------------------------------------------------------ header

interface HeaderProps {
  readonly id: string;
  readonly data: NodeData;
  readonly run: NodeRun | undefined;
  readonly selected: boolean;
}

function Header({ id, data, run, selected }: HeaderProps): ReactElement {
  const { entry, spec, layout } = data;
  const name = entry.title || spec?.title || entry.type;
  const renamed = useRenaming((state) => state.id === id);
  const isInstance = spec !== undefined && definitionOf(entry) !== null;
  return (
    <div className="node-header grip" title={spec?.description ?? missingText(entry.type)}>
      <button
        type="button"
        className="fold nodrag"
        aria-label={layout?.collapsed ? 'Unfold' : 'Fold'}
        onClick={() => perform('Collapse', (edit) => toggleCollapsed(edit, [id]))}
      >
        {layout?.collapsed ? <ChevronRight size={14} /> : <ChevronDown size={14} />}
      </button>
      {renamed ? (
        <TitleField
          label="Title"
          value={name}
          onDone={(text) => perform('Rename', (edit) => setTitle(edit, id, text === spec?.title ? '' : text.trim()))}
        />
      ) : (
        // biome-ignore lint/a11y/noStaticElementInteractions: F2 does the same
        <span className="node-title" onDoubleClick={() => (isInstance ? enter(id) : rename(id))}>
          {name}
        </span>
      )}
      {isInstance && (
        <button
          type="button"
          className="fold nodrag"
          aria-label="Enter the subgraph"
          title="Enter the subgraph (I)"
          onClick={() => enter(id)}
        >
          <Layers size={13} />
        </button>
      )}
      <Mark data={data} run={run} />
      {selected && <HelpButton />}
      {run?.status === 'running' && <Bar run={run} />}
    </div>
  );
}

function missingText(type: string): string {
  const pack = packOf(currentDoc(), type);
  return `${type} is not installed${pack === null ? '' : `; it is of the pack ${pack}`}. It is kept as it is, with all its values and links.`;
}

function Bar({ run }: { readonly run: NodeRun }): ReactElement {
  const share = run.total ? Math.min(1, (run.value ?? 0) / run.total) : null;
  return <span className={share === null ? 'bar unknown' : 'bar'} style={share === null ? {} : { width: `${share * 100}%` }} />;
}

// ------------------------------------------------------------------------------------------------ rows

interface RowProps {
  readonly id: string;
  readonly row: Row;
  readonly data: NodeData;
  readonly run: NodeRun | undefined;
}

function RowView({ id, row, data, run }: RowProps): ReactElement {
  const style = { top: row.y, height: row.height };
  if (row.kind === 'shown') {
    return (
      <div className="row shown" style={style}>
        <Shown run={run} />
      </div>
    );
  }
  if (row.kind === 'more') return <More id={id} row={row} style={style} />;
  if (row.kind === 'widget') return <WidgetRow id={id} name={row.input} data={data} style={style} />;
  return (
    <div className="row slots" style={style}>
      {row.input !== null && <Slot name={row.input} side="input" data={data} node={id} />}
      {row.output !== null && <Slot name={row.output} side="output" data={data} node={id} />}
    </div>
  );
}

interface SlotProps {
  readonly name: string;
  readonly side: 'input' | 'output';
  readonly data: NodeData;
  readonly node: string;
}

function Slot({ name, side, data, node }: SlotProps): ReactElement {
  const input = data.spec && get(data.spec.inputs, name);
  const catalog = currentCatalog();
  const title =
    side === 'input' && input
      ? `${describeInput(name, input, catalog)}${input.tooltip ? `\n${input.tooltip}` : ''}`
      : outputTitle(data.spec, name);
  const empty = side === 'input' && input?.required === true && !Object.hasOwn(data.entry.inputs, name);
  return (
    <>
      <Dot name={name} side={side} data={data} node={node} top={ROW / 2} />
      <span
        data-input={side === 'input' ? name : undefined}
        className={`slot ${side}${empty ? ' needed' : ''}${input && !input.required ? ' optional' : ''}`}
        title={title}
      >
        {label(name)}
      </span>
    </>
  );
}

function outputTitle(spec: NodeSpec | undefined, name: string): string {
  const output = spec && get(spec.outputs, name);
  return output === undefined ? name : `${output.type}${output.tooltip ? `\n${output.tooltip}` : ''}`;
}

function label(name: string): string {
  return name.replaceAll('_', ' ');
}

/** The dot a link ends at. While a link is pulled those that cannot take it fade. */
function Dot({ name, side, data, node, top }: SlotProps & { readonly top: number }): ReactElement {
  const type = currentCatalog().parse(endOf(data.spec, name, side)?.type ?? '*');
  const faded = useEditor((state) => {
    const { loose, catalog } = state;
    if (loose === null) return false;
    if (loose.node === node) return !(loose.name === name && (loose.side === 'output') === (side === 'output'));
    if (loose.side === side) return true;
    const mapped =
      side === 'input' ? (endOf(data.spec, name, side) as InputSpec | undefined)?.mapped === true : loose.side === 'input' && loose.mapped;
    const [to, from] = side === 'input' ? [type, loose.type] : [loose.type, type];
    return joint(to, from, mapped, catalog.rules) === null;
  });
  const color = currentCatalog().color(type);
  const shape = type.kind === 'list' ? ' list' : type.kind === 'var' || type.kind === 'any' ? ' any' : '';
  return (
    <Handle
      id={name}
      type={side === 'input' ? 'target' : 'source'}
      position={side === 'input' ? Position.Left : Position.Right}
      className={`dot${shape}${faded ? ' faded' : ''}`}
      style={shape === ' any' ? { top } : { top, background: color }}
      aria-label={`${side} ${name}`}
      aria-description={typeName(type)}
      data-tip={tipOf(data.spec, name, side)}
      data-color={color}
    />
  );
}

function endOf(spec: NodeSpec | undefined, name: string, side: 'input' | 'output'): { readonly type: string } | undefined {
  return side === 'input' ? get(spec?.inputs, name) : get(spec?.outputs, name);
}

/** What a handle takes or gives: a legend of its colour. */
function tipOf(spec: NodeSpec | undefined, name: string, side: 'input' | 'output'): string {
  const { catalog } = useEditor.getState();
  const end = endOf(spec, name, side);
  if (end === undefined) return label(name);
  const about = catalog.about(catalog.parse(end.type));
  return `${typeName(catalog.parse(end.type))} · ${side} ${label(name)}${about ? `\n${about}` : ''}`;
}

/** All ends of a folded node, at one place. */
function Gathered({ data }: { readonly data: NodeData }): ReactElement {
  const [inputs, outputs] = [Object.keys(data.spec?.inputs ?? data.entry.inputs), shownOutputs(data.spec, data.used)];
  return (
    <div className="gathered">
      {inputs.map((name) => (
        <Dot key={`i${name}`} name={name} side="input" data={data} node="" top={HEADER / 2} />
      ))}
      {outputs.map((name) => (
        <Dot key={`o${name}`} name={name} side="output" data={data} node="" top={HEADER / 2} />
      ))}
    </div>
  );
}

interface WidgetRowProps {
  readonly id: string;
  readonly name: string;
  readonly data: NodeData;
  readonly style: CSSProperties;
}

function WidgetRow({ id, name, data, style }: WidgetRowProps): ReactElement | null {
  const { entry, layout } = data;
  const spec = data.spec && get(data.spec.inputs, name);
  if (spec === undefined) return null;
  if (asLink(get(entry.inputs, name)) !== null) {
    return (
      <div className="row slots" style={style} data-input={name}>
        <Slot name={name} side="input" data={data} node={id} />
      </div>
    );
  }
  const value = literalOf(entry, name, spec);
  const fault = faultOf(spec, value, currentCatalog());
  const key = `${id}.${name}`;
  const onChange = (next: Json): void =>
    perform(`Change ${label(name)}`, (edit) => (next === null ? resetInput(edit, id, name) : setInput(edit, id, name, next)), key);
  const onAfter = (how: string): void =>
    perform('Seed after runs', (edit) =>
      how === '' ? edit.remove(['layout', id, 'after', name]) : edit.set(['layout', id, 'after', name], how),
    );
  return (
    <div className="row widget" style={style} data-input={name}>
      <Dot name={name} side="input" data={data} node={id} top={WIDGET / 2} />
      <Widget
        node={id}
        type={entry.type}
        name={name}
        label={label(name)}
        spec={spec}
        value={value}
        fault={fault}
        onChange={onChange}
        after={get(layout?.after, name) ?? ''}
        onAfter={onAfter}
      />
    </div>
  );
}
