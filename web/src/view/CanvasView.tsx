/** The canvas: nodes, links, groups, minimap; gestures are handed on to `gestures/`. */
import {
  Background,
  BackgroundVariant,
  MiniMap,
  type Node,
  ReactFlow,
  SelectionMode,
  useReactFlow,
  useStore,
  useStoreApi,
} from '@xyflow/react';
import { type ReactElement, type MouseEvent as ReactMouseEvent, useEffect, useMemo, useRef, useState } from 'react';
import { drawable } from '../document/colors';
import { distanceOf } from '../document/distance';
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
import { catalogOf, change, docOf, tabOf, useEditor } from '../state/editor';
import { boxesOf, Flow, type FlowEdge, type FlowGroup, type FlowNode } from '../state/flow';
import { prefixOf } from '../state/levels';
import { openMenu } from '../state/menu';
import { usePreferences } from '../state/preferences';
import { useRuns } from '../state/runs';
import { ConnectionLine } from './ConnectionLine';
import { GroupView } from './GroupView';
import { LinkView } from './LinkView';
import { NodeView } from './NodeView';
import { reveal, targetOf, useLongPress } from './pointing';

const NODE_TYPES = { node: NodeView, group: GroupView };
const EDGE_TYPES = { link: LinkView };
const MINIMAP_LIMIT = 2000;
const FINE: [number, number] = [4, 4];
const COARSE: [number, number] = [24, 24];

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
  const linking = useEditor((state) => state.loose !== null);
  const shows = useShows();
  const nodes = useMemo(
    () => made.current.nodesOf(doc, catalog, { selection, links, moving, sizing, shows }),
    [doc, catalog, selection, links, moving, sizing, shows],
  );
  const edges = useMemo(() => made.current.edgesOf(doc, catalog, { links }), [doc, catalog, links]);
  const pointer = useRef<Point>([300, 200]);
  const latest = useRef(nodes);
  latest.current = nodes;

  useEffect(() => {
    attachCanvas({
      boxes: () => boxesOf(latest.current),
      pointer: () => {
        const { x, y } = flow.screenToFlowPosition({ x: pointer.current[0], y: pointer.current[1] });
        return { screen: pointer.current, flow: [x, y] };
      },
      fit: (ids) => void flow.fitView({ padding: 0.15, maxZoom: 1.2, ...(ids?.length ? { nodes: ids.map((id) => ({ id })) } : {}) }),
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
    const timer = setTimeout(() => void flow.fitView({ padding: 0.12, maxZoom: 1.1 }), 30);
    return () => clearTimeout(timer);
  }, [active, prefix, flow]);

  const menuAt = (element: Element, screen: Point): boolean => {
    const target = targetOf(element);
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
        touch.onPointerMove(event);
      }}
      onContextMenu={(event) => {
        if (menuAt(event.target as Element, [event.clientX, event.clientY])) event.preventDefault();
      }}
      onDoubleClick={(event: ReactMouseEvent) => {
        if ((event.target as Element).classList.contains('react-flow__pane')) palette(event);
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        const { x, y } = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
        void dropFiles(event.target, [...event.dataTransfer.files], [x, y]);
      }}
    >
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={NODE_TYPES}
        edgeTypes={EDGE_TYPES}
        onNodesChange={(changes) => onNodesChange(changes, nodes)}
        onEdgesChange={onEdgesChange}
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
        {grid && <Background variant={BackgroundVariant.Dots} gap={24} size={1.2} />}
        {map && nodes.length > 0 && nodes.length < MINIMAP_LIMIT && (
          <MiniMap pannable zoomable position="bottom-right" nodeColor={colorOf} nodeStrokeWidth={0} ariaLabel="Map of the workflow" />
        )}
      </ReactFlow>
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

function colorOf(node: Node): string {
  if (node.type === 'group') return 'transparent';
  if (node.selected) return 'var(--accent)';
  return drawable((node as FlowNode).data.layout?.color) ?? 'var(--map)';
}

const NO_SHOWS: ReadonlySet<string> = new Set();

/** The nodes that have something to show, and those that will have after a run; the same set while they are the same. */
function useShows(): ReadonlySet<string> {
  const doc = useEditor(docOf);
  const catalog = useEditor(catalogOf);
  const active = useEditor((state) => state.active);
  const prefix = useEditor((state) => prefixOf(tabOf(state)));
  const names = useRuns((state) => {
    const nodes = state.byTab[active]?.nodes ?? {};
    return Object.keys(nodes)
      .filter((id) => id.startsWith(prefix) && (nodes[id]?.shown?.length || nodes[id]?.preview))
      .map((id) => id.slice(prefix.length))
      .join('\0');
  });
  const outputs = useMemo(
    () =>
      Object.entries(doc.nodes)
        .filter(([, entry]) => catalog.spec(entry.type)?.output_node)
        .map(([id]) => id)
        .join('\0'),
    [doc, catalog],
  );
  return useMemo(() => {
    const all = [...names.split('\0'), ...outputs.split('\0')].filter((id) => id !== '');
    return all.length === 0 ? NO_SHOWS : new Set(all);
  }, [names, outputs]);
}
