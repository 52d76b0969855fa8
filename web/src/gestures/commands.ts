/** Everything that can be done to the workflow in front, with its name and keys: for the keyboard, the menus and the cheat sheet. */
import { copyText, duplicateNodes, pasteNodes } from '../document/edits/clipboard';
import { addGroup, deleteGroups } from '../document/edits/groups';
import { disconnect } from '../document/edits/links';
import { deleteNodes, moveNodes, toggleCollapsed, toggleMode } from '../document/edits/nodes';
import { type Alignment, align, arrange, type Box } from '../document/geometry';
import { NotAWorkflow, type Point, readDocument } from '../document/model';
import { attempt, cancelRun, run } from '../state/actions';
import { toggleAutorun } from '../state/autorun';
import {
  change,
  currentCatalog,
  currentDoc,
  newTab,
  perform,
  redoStep,
  select,
  selectedGroups,
  selectedNodes,
  show,
  undoStep,
  useEditor,
} from '../state/editor';
import { exportComfy, exportJson, exportPicture, exportScript } from '../state/exports';
import { saveTab } from '../state/files';
import { endOfEdge } from '../state/flow';
import { importFile } from '../state/imports';
import { CANVAS_COMMANDS } from './canvasCommands';
import { type Command, canvas, command } from './command';
import { MOVES } from './moving';
import { SUBGRAPH_COMMANDS } from './subgraphCommands';

/** Where the pointer is on the canvas. */
export function pointerPlace(): Point {
  return canvas().pointer().flow;
}

function selectedBoxes(): Record<string, Box> {
  const boxes = canvas().boxes();
  return Object.fromEntries(selectedNodes().flatMap((id) => (boxes[id] === undefined ? [] : [[id, boxes[id]]])));
}

function remove(relink: boolean): void {
  const [nodes, groups, links] = [selectedNodes(), selectedGroups(), [...useEditor.getState().links]];
  perform('Delete', (edit) => {
    for (const id of links) disconnect(edit, ...endOfEdge(id));
    deleteNodes(edit, nodes, currentCatalog(), relink);
    deleteGroups(edit, groups);
  });
  select([]);
}

function lineUp(how: Alignment): void {
  perform('Align', (edit) => moveNodes(edit, align(selectedBoxes(), how)));
}

function tidy(): void {
  perform('Arrange', (edit) => moveNodes(edit, arrange(edit.doc, canvas().boxes())));
  setTimeout(() => canvas().fit(), 50);
}

function group(): void {
  perform('Group', (edit) => addGroup(edit, Object.values(selectedBoxes())));
}

function duplicate(): void {
  let ids: string[] = [];
  perform('Duplicate', (edit) => {
    ids = duplicateNodes(edit, selectedNodes(), selectedGroups());
  });
  select(ids);
}

/** The text of what is selected, for the clipboard. */
export function copied(): string | null {
  const [ids, groups] = [selectedNodes(), selectedGroups()];
  return ids.length + groups.length === 0 ? null : copyText(currentDoc(), ids, groups);
}

export function cut(): string | null {
  const text = copied();
  if (text !== null) remove(false);
  return text;
}

/** Text from the clipboard, put where the pointer is. Whatever is no workflow is left alone. */
export function paste(text: string): boolean {
  if (!text.trimStart().startsWith('{')) return false;
  try {
    const fragment = readDocument(text);
    let ids: string[] = [];
    perform('Paste', (edit) => {
      ids = pasteNodes(edit, fragment, canvas().pointer().flow, false);
    });
    select(ids);
    return ids.length + fragment.groups.length > 0;
  } catch (error) {
    if (!(error instanceof NotAWorkflow)) throw error;
    void attempt(() => importFile(new File([text], 'pasted.json', { type: 'application/json' })));
    return true;
  }
}

function openPalette(): void {
  change({ palette: { ...canvas().pointer(), loose: null } });
}

function chooseFile(): void {
  const input = Object.assign(document.createElement('input'), { type: 'file', accept: '.json,image/png,image/webp' });
  input.onchange = () => void (input.files?.[0] && importFile(input.files[0]));
  input.click();
}

export const COMMANDS: readonly Command[] = [
  command('run', 'Run', 'Run', 'Mod+Enter', () => void run()),
  command('run-here', 'Run to the selected nodes', 'Run', 'Shift+Mod+Enter', () => void run(selectedNodes())),
  command('batch', 'Run a batch', 'Run', 'Alt+Enter', () => show({ kind: 'vary' })),
  command('autorun', 'Run on each change', 'Run', '', toggleAutorun),
  command('cancel', 'Cancel the run', 'Run', 'Mod+.', () => void cancelRun()),
  command('queue', 'Queue and history', 'Run', 'Q', () => change({ panel: useEditor.getState().panel === 'queue' ? null : 'queue' })),
  command('undo', 'Undo', 'Edit', 'Mod+Z', undoStep),
  command('redo', 'Redo', 'Edit', 'Mod+Shift+Z | Mod+Y', redoStep),
  command('delete', 'Delete', 'Edit', 'Delete | Backspace', () => remove(false)),
  command('dissolve', 'Delete and reconnect', 'Edit', 'Mod+Delete | Mod+Backspace', () => remove(true)),
  command('duplicate', 'Duplicate with links', 'Edit', 'Mod+D', duplicate),
  command('all', 'Select all', 'Edit', 'Mod+A', () => select(Object.keys(currentDoc().nodes))),
  command('none', 'Select nothing', 'Edit', 'Escape', () => select([])),
  command('add', 'Add a node', 'Nodes', 'Tab | Space', openPalette),
  command('mute', 'Mute', 'Nodes', 'M', () => perform('Mute', (edit) => toggleMode(edit, selectedNodes(), 'muted'))),
  command('bypass', 'Bypass', 'Nodes', 'B', () => perform('Bypass', (edit) => toggleMode(edit, selectedNodes(), 'bypassed'))),
  command('collapse', 'Collapse', 'Nodes', 'C', () => perform('Collapse', (edit) => toggleCollapsed(edit, selectedNodes()))),
  command('group', 'Group', 'Nodes', 'Mod+G', group),
  command('left', 'Align left', 'Nodes', 'Alt+L', () => lineUp('left')),
  command('top', 'Align top', 'Nodes', 'Alt+T', () => lineUp('top')),
  command('columns', 'Spread side by side', 'Nodes', 'Alt+H', () => lineUp('columns')),
  command('rows', 'Spread one below the other', 'Nodes', 'Alt+V', () => lineUp('rows')),
  command('tidy', 'Arrange everything', 'Nodes', 'Alt+A', tidy),
  command('fit', 'Show everything', 'View', 'F', () => canvas().fit()),
  command('fit-selected', 'Show the selection', 'View', '.', () => canvas().fit(selectedNodes())),
  command('in', 'Zoom in', 'View', '+ | =', () => canvas().zoom(1.25)),
  command('out', 'Zoom out', 'View', '-', () => canvas().zoom(0.8)),
  command('problems', 'Problems', 'View', 'P', () => change({ showProblems: !useEditor.getState().showProblems })),
  command('keys', 'Keys', 'View', '?', () => show({ kind: 'keys' })),
  command('save', 'Save', 'File', 'Mod+S', () => void saveTab(useEditor.getState().active)),
  command('save-as', 'Save under a new name', 'File', 'Mod+Shift+S', () => show({ kind: 'save', tab: useEditor.getState().active })),
  command('new', 'New workflow', 'File', 'Alt+N', () => void newTab()),
  command('gallery', 'Templates', 'File', 'Alt+G', () => show({ kind: 'gallery' })),
  command('files', 'Saved workflows', 'File', 'W', () => change({ panel: useEditor.getState().panel === 'files' ? null : 'files' })),
  command('import', 'Open a file', 'File', 'Mod+O', chooseFile),
  command('export', 'Export as JSON', 'File', 'Mod+E', exportJson),
  command('export-comfy', 'Export as ComfyUI API JSON', 'File', '', () => void exportComfy()),
  command('export-picture', 'Export as a picture (PNG)', 'File', 'Shift+Mod+E', () => void exportPicture()),
  command('export-script', 'Export as a Python script', 'File', '', () => void exportScript()),
  command('api', 'Documentation of the API', 'View', '', () => void window.open('api/v1/docs', '_blank', 'noopener')),
  ...CANVAS_COMMANDS,
  ...SUBGRAPH_COMMANDS,
  ...MOVES,
];

export function commandOf(id: string): Command {
  const found = COMMANDS.find((one) => one.id === id);
  if (found === undefined) throw new Error(`there is no command ${id}`);
  return found;
}

export function doCommand(id: string): void {
  commandOf(id).run();
}
