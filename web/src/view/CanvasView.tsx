/** The canvas: nodes, links, groups, minimap; gestures are handed on to `gestures/`. */
import { type FitViewOptions, ReactFlow, SelectionMode, useReactFlow, useStore, useStoreApi } from '@xyflow/react';
import { type ReactElement, type MouseEvent as ReactMouseEvent, useEffect, useMemo, useRef, useState } from 'react';
import { distanceOf, isFar } from '../document/distance';
import type { Point } from '../document/model';
import {
  mayConnect,
  onConnect,
  onConnectEnd,
  onConnectStart,
  onEdgesChange,
  onNodesChange,
  onReconnect,
  onReconnectEnd,
} from '../gestures/canvas';
import { reroute } from '../gestures/canvasCommands';
import { attachCanvas } from '../gestures/command';
import { dropFiles } from '../gestures/pictures';
import { catalogOf, change, docOf, select, tabOf, useEditor } from '../state/editor';
import { boxesOf, Flow, type FlowEdge, type FlowGroup, type FlowNode } from '../state/flow';
import { prefixOf } from '../state/levels';
import { openMenu } from '../state/menu';
import { usePreferences } from '../state/preferences';
import { type NodeRun, useRuns } from '../state/runs';
import { ConnectionLine } from './ConnectionLine';
import { FarCanvas } from './far/FarCanvas';
import { isPictured } from './far/FarNode';
import { Far } from './far/far';
import { Minimap } from './far/Minimap';
import { useReal } from './far/useReal';
import { Grid } from './Grid';
import { GroupView } from './GroupView';
import { LinkView } from './LinkView';
import { NodeView } from './NodeView';
import { reveal, targetOf, useLongPress } from './pointing';

/** Inside a subgraph the upper edge is covered by where one is. */
function roomAround(): NonNullable<FitViewOptions['padding']> {
  const covered = Math.min(document.querySelector('.level')?.clientHeight ?? 0, innerHeight * 0.4);
  const room = innerWidth < 1200 ? 0.03 : 0.12;
  return covered === 0 ? room : { x: room, bottom: room, top: `${covered + 32}px` };
}

const NODE_TYPES = { node: NodeView, group: GroupView };
const EDGE_TYPES = { link: LinkView };
const FINE: [number, number] = [4, 4];
const COARSE: [number, number] = [24, 24];
const NO_LINKS: FlowEdge[] = [];

export function CanvasView(): ReactElement {
  const flow = useReactFlow<FlowNode | FlowGroup, FlowEdge>();
  useUnmeasured();
  const made = useRef(new Flow());
  const doc = useEditor(docOf);
  const catalog = useEditor(catalogOf);
  const selection = useEditor((state) => state.selection);
  const links = useEditor((state) => state.links);
  const moving = useEditor((state) => state.moving);
  const sizing = useEditor((state) => state.sizing);
  const active = useEditor((state) => state.active);
  const prefix = useEditor((state) => prefixOf(tabOf(state)));
  const { snap, grid, map, wheel } = usePreferences();
  const distance = useStore((state) => distanceOf(state.transform[2]));
  const far = isFar(distance);
  const linking = useEditor((state) => state.loose !== null);
  const { shows, pictured } = useShows();
  const latest = useRef<(FlowNode | FlowGroup)[]>([]);
  const real = useReal(far, pictured, latest);
  const nodes = useMemo(
    () => made.current.nodesOf(doc, catalog, { selection, links, moving, sizing, shows, real: real.ids }),
    [doc, catalog, selection, links, moving, sizing, shows, real.ids],
  );
  const edges = useMemo(() => made.current.edgesOf(doc, catalog, { links }), [doc, catalog, links]);
  const pointer = useRef<Point>([300, 200]);
  latest.current = nodes;

  useEffect(() => {
    attachCanvas({
      boxes: () => boxesOf(latest.current),
      pointer: () => {
        const { x, y } = flow.screenToFlowPosition({ x: pointer.current[0], y: pointer.current[1] });
        return { screen: pointer.current, flow: [x, y] };
      },
      fit: (ids) =>
        void flow.fitView({
          padding: 0.15,
          maxZoom: 1.2,
          includeHiddenNodes: true,
          ...(ids?.length ? { nodes: ids.map((id) => ({ id })) } : {}),
        }),
      zoom: (by) => void flow.zoomTo(flow.getZoom() * by),
      toScreen: ([x, y]) => {
        const at = flow.flowToScreenPosition({ x, y });
        return [at.x, at.y];
      },
      reveal: (id) => reveal(flow, latest.current, id),
    });
  }, [flow]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another workflow is shown whole
  useEffect(() => {
    // on an empty canvas React Flow would wait for the first node, and move it away from where it was put
    if (latest.current.length === 0) return;
    const timer = setTimeout(() => void flow.fitView({ padding: roomAround(), maxZoom: 1.1, includeHiddenNodes: true }), 30);
    return () => clearTimeout(timer);
  }, [active, prefix, flow]);

  const menuAt = (element: Element, screen: Point): boolean => {
    // a finger makes a node real where it rests
    real.onPointer({ clientX: screen[0], clientY: screen[1] });
    const target = targetOf(real.ids === null ? element : (document.elementFromPoint(...(screen as [number, number])) ?? element));
    if (target === null) return false;
    const { x, y } = flow.screenToFlowPosition({ x: screen[0], y: screen[1] });
    openMenu({ target, screen, flow: [x, y] });
    return true;
  };
  const touch = useLongPress(menuAt);

  const palette = (event: { clientX: number; clientY: number }): void => {
    const { x, y } = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    change({ palette: { screen: [event.clientX, event.clientY], flow: [x, y], loose: null } });
  };

  const flowPoint = (event: ReactMouseEvent): Point => {
    const { x, y } = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    return [x, y];
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: double-click is one of three ways to the palette, files can be opened from the menu too
    <div
      className={linking ? 'canvas linking' : 'canvas'}
      data-distance={distance}
      {...touch}
      onPointerMove={(event) => {
        pointer.current = [event.clientX, event.clientY];
        real.onPointer(event);
        touch.onPointerMove(event);
      }}
      onContextMenu={(event) => {
        if (menuAt(event.target as Element, [event.clientX, event.clientY])) event.preventDefault();
      }}
      onDoubleClick={(event: ReactMouseEvent) => {
        if ((event.target as Element).classList.contains('react-flow__pane')) palette(event);
      }}
      onDragOver={(event) => {
        event.preventDefault();
        real.onPointer(event);
      }}
      onDrop={(event) => {
        event.preventDefault();
        const { x, y } = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
        void dropFiles(event.target, [...event.dataTransfer.files], [x, y]);
      }}
    >
      <Far value={far}>
        <ReactFlow
          nodes={nodes}
          edges={real.ids === null ? edges : NO_LINKS}
          nodeTypes={NODE_TYPES}
          edgeTypes={EDGE_TYPES}
          onNodesChange={(changes) => onNodesChange(changes, nodes)}
          onEdgesChange={onEdgesChange}
          onPaneClick={() => links.size > 0 && select([])}
          onConnect={onConnect}
          onConnectStart={(_, { nodeId, handleId, handleType }) => onConnectStart(nodeId, handleId, handleType)}
          onConnectEnd={(event, state) => {
            const point = 'changedTouches' in event ? event.changedTouches[0]! : event;
            const { x, y } = flow.screenToFlowPosition({ x: point.clientX, y: point.clientY });
            onConnectEnd(state, [point.clientX, point.clientY], [x, y]);
          }}
          onReconnect={onReconnect}
          onReconnectEnd={(_, edge, __, state) => onReconnectEnd(edge, state)}
          isValidConnection={(ends) => mayConnect(ends as Parameters<typeof mayConnect>[0])}
          onEdgeDoubleClick={(event, edge) => reroute(edge.id, flowPoint(event))}
          onEdgeClick={(event, edge) => event.altKey && reroute(edge.id, flowPoint(event))}
          connectionLineComponent={ConnectionLine}
          disableKeyboardA11y
          connectionRadius={24}
          onlyRenderVisibleElements
          nodeDragThreshold={2}
          minZoom={0.05}
          maxZoom={3}
          zoomOnDoubleClick={false}
          panOnDrag={[0, 1]}
          panActivationKeyCode={null}
          selectionMode={SelectionMode.Partial}
          selectionKeyCode={['Control', 'Meta']}
          multiSelectionKeyCode={['Shift']}
          deleteKeyCode={null}
          elevateNodesOnSelect
          snapToGrid
          snapGrid={snap ? COARSE : FINE}
          panOnScroll={wheel === 'pan'}
        >
          {grid && <Grid />}
          {far && <FarCanvas nodes={nodes} edges={edges} />}
          {map && nodes.length > 0 && <Minimap nodes={nodes} />}
        </ReactFlow>
      </Far>
    </div>
  );
}

/**
 * Keeps React Flow from measuring nodes in the page: places of handles are known from descriptions. Measuring costs much while
 * panning, and far away, where nodes are plain boxes without handles, it would take their links away.
 */
function useUnmeasured(): void {
  const store = useStoreApi();
  useState(() => store.setState({ updateNodeInternals: () => undefined }));
}

/**
 * The nodes that have something to show, and those that will have after a run; and of these, those that have a picture. The same
 * sets while they are the same.
 */
function useShows(): { readonly shows: ReadonlySet<string>; readonly pictured: ReadonlySet<string> } {
  const doc = useEditor(docOf);
  const catalog = useEditor(catalogOf);
  const active = useEditor((state) => state.active);
  const prefix = useEditor((state) => prefixOf(tabOf(state)));
  const shown = useRuns((state) => namesOf(state.byTab[active]?.nodes, prefix, (run) => Boolean(run.shown?.length || run.preview)));
  const pictured = useRuns((state) => namesOf(state.byTab[active]?.nodes, prefix, isPictured));
  const outputs = useMemo(
    () =>
      Object.entries(doc.nodes)
        .filter(([, entry]) => catalog.spec(entry.type)?.output_node)
        .map(([id]) => id)
        .join('\0'),
    [doc, catalog],
  );
  return { shows: useNames(`${shown}\0${outputs}`), pictured: useNames(pictured) };
}

/** As one text, which is compared by what it says. */
function namesOf(nodes: Readonly<Record<string, NodeRun>> = {}, prefix: string, fits: (run: NodeRun) => boolean): string {
  return Object.keys(nodes)
    .filter((id) => id.startsWith(prefix) && fits(nodes[id]!))
    .map((id) => id.slice(prefix.length))
    .join('\0');
}

function useNames(names: string): ReadonlySet<string> {
  return useMemo(() => new Set(names.split('\0').filter((id) => id !== '')), [names]);
}
