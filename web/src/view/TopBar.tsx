import * as Menu from '@radix-ui/react-dropdown-menu';
import { CircleAlert, LayoutGrid, Menu as MenuIcon, Play, Plus, Redo2, Save, Square, Undo2, X } from 'lucide-react';
import { Fragment, type ReactElement, type ReactNode } from 'react';
import { COMMANDS, commandOf, doCommand } from '../gestures/commands';
import { keyName } from '../gestures/keys';
import { cancelRun, run } from '../state/actions';
import { activate, closeTab, historyOf, isDirty, isUntouched, newTab, type Tab, tabOf, titleOfTab, useEditor } from '../state/editor';
import { isOver, useRuns } from '../state/runs';
import { seconds } from './NodeParts';
import { RunModes } from './RunModes';

export function TopBar(): ReactElement {
  const tabs = useEditor((state) => state.tabs);
  const active = useEditor((state) => state.active);
  const canUndo = useEditor((state) => historyOf(state).past.at(-1)?.label);
  const canRedo = useEditor((state) => historyOf(state).future[0]?.label);
  const dirty = useEditor((state) => {
    const tab = tabOf(state);
    return tab !== undefined && isDirty(tab);
  });
  return (
    <header className="top">
      <MainMenu />
      <Tool label={`Templates (${keys('gallery')})`} onClick={() => doCommand('gallery')}>
        <LayoutGrid size={16} />
      </Tool>
      <nav className="tabs" aria-label="Open workflows">
        {tabs.map((tab) => (
          <TabView key={tab.id} tab={tab} active={tab.id === active} />
        ))}
        <Tool label="New workflow" onClick={() => void newTab()}>
          <Plus size={16} />
        </Tool>
      </nav>
      <Tool
        label={canUndo ? `Undo: ${canUndo} (${keys('undo')})` : 'Nothing to undo'}
        disabled={!canUndo}
        onClick={() => doCommand('undo')}
      >
        <Undo2 size={16} />
      </Tool>
      <Tool
        label={canRedo ? `Redo: ${canRedo} (${keys('redo')})` : 'Nothing to redo'}
        disabled={!canRedo}
        onClick={() => doCommand('redo')}
      >
        <Redo2 size={16} />
      </Tool>
      <Tool label={`Save on the server (${keys('save')})`} disabled={!dirty} onClick={() => doCommand('save')}>
        <Save size={16} />
      </Tool>
      <ProblemCount />
      <RunButton />
    </header>
  );
}

function keys(id: string): string {
  return keyName(commandOf(id).keys[0] ?? '');
}

interface ToolProps {
  readonly label: string;
  readonly disabled?: boolean;
  readonly onClick: () => void;
  readonly children: ReactNode;
}

export function Tool({ label, disabled, onClick, children }: ToolProps): ReactElement {
  return (
    <button type="button" className="tool" aria-label={label} title={label} disabled={disabled === true} onClick={onClick}>
      {children}
    </button>
  );
}

function TabView({ tab, active }: { readonly tab: Tab; readonly active: boolean }): ReactElement {
  const changed = isDirty(tab) && !isUntouched(tab);
  return (
    <div className={active ? 'tab active' : 'tab'}>
      <button type="button" aria-current={active} onClick={() => activate(tab.id)}>
        {titleOfTab(tab)}
        {changed && <span className="changed" title="Not saved on the server; kept in this browser" />}
      </button>
      <button type="button" className="mini" aria-label={`Close ${titleOfTab(tab)}`} onClick={() => close(tab, changed)}>
        <X size={12} />
      </button>
    </div>
  );
}

function close(tab: Tab, changed: boolean): void {
  if (!changed || confirm(`“${titleOfTab(tab)}” has changes that are not saved on the server. Close it and lose them?`)) closeTab(tab.id);
}

const SECTIONS = ['File', 'Edit', 'Nodes', 'Move about', 'View', 'Run'] as const;

function MainMenu(): ReactElement {
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="tool" aria-label="Menu">
        <MenuIcon size={16} />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu" sideOffset={6} align="start">
          {SECTIONS.map((section) => (
            <Menu.Sub key={section}>
              <Menu.SubTrigger className="menu-item">{section}</Menu.SubTrigger>
              <Menu.Portal>
                <Menu.SubContent className="menu" sideOffset={4}>
                  {COMMANDS.filter((command) => command.section === section).map((command) => (
                    <Menu.Item key={command.id} className="menu-item" onSelect={() => setTimeout(command.run)}>
                      {command.label}
                      <kbd>{keyName(command.keys[0] ?? '')}</kbd>
                    </Menu.Item>
                  ))}
                </Menu.SubContent>
              </Menu.Portal>
            </Menu.Sub>
          ))}
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

function ProblemCount(): ReactElement | null {
  const count = useEditor((state) => state.problems.length);
  if (count === 0) return null;
  return (
    <button type="button" className="problem-count" title={`Problems (${keys('problems')})`} onClick={() => doCommand('problems')}>
      <CircleAlert size={14} /> {count}
    </button>
  );
}

function RunButton(): ReactElement {
  const active = useEditor((state) => state.active);
  const state = useRuns((runs) => runs.byTab[active]);
  const waiting = useRuns((runs) => runs.queue?.pending.length ?? 0);
  const busy = state !== undefined && !isOver(state);
  const share = busy && state.total > 0 ? state.finished / state.total : 0;
  return (
    <Fragment>
      <button type="button" className="run-state" title={`Queue and history (${keys('queue')})`} onClick={() => doCommand('queue')}>
        {stateText(state?.status, state?.finished ?? 0, state?.total ?? 0, state?.seconds ?? null)}
        {waiting > 0 && ` · ${waiting} waiting`}
      </button>
      {busy && (
        <Tool label={`Cancel (${keys('cancel')})`} onClick={() => void cancelRun()}>
          <Square size={14} />
        </Tool>
      )}
      <RunModes />
      <button type="button" className="run" title={`Run (${keys('run')})`} onClick={() => void run()}>
        <Play size={14} fill="currentColor" /> Run
        {busy && <span className="run-bar" style={{ width: `${share * 100}%` }} />}
      </button>
    </Fragment>
  );
}

function stateText(status: string | undefined, finished: number, total: number, time: number | null): string {
  switch (status) {
    case 'sending':
      return 'sending…';
    case 'pending':
      return 'waiting…';
    case 'running':
      return total > 0 ? `${finished} of ${total} nodes` : 'starting…';
    case 'done':
      return time !== null && seconds(time) ? `done in ${seconds(time)}` : 'done, all known before';
    case 'failed':
    case 'cancelled':
      return status;
    default:
      return '';
  }
}
