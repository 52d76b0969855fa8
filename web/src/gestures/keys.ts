/** The keyboard, and the clipboard of the system. */
import { useEditor } from '../state/editor';
import { useQuick } from '../state/quick';
import { COMMANDS, copied, cut, paste, pointerPlace } from './commands';
import { leave } from './moving';
import { pastePicture } from './pictures';

const MAC = typeof navigator !== 'undefined' && /Mac|iPhone|iPad/.test(navigator.userAgent);

const KEY_NAMES: Readonly<Record<string, string>> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  ContextMenu: 'Menu',
  Escape: 'Esc',
};

/** Keys as people read them. */
export function keyName(name: string): string {
  const keys = name.replace(/[A-Z][A-Za-z]+$/, (key) => KEY_NAMES[key] ?? key);
  return MAC ? keys.replace('Mod+', '⌘').replace('Shift+', '⇧').replace('Alt+', '⌥') : keys.replace('Mod', 'Ctrl');
}

/** The name of what was pressed, in the order in which commands write it: `Mod+Shift+Z`. */
export function pressed(event: Pick<KeyboardEvent, 'key' | 'code' | 'ctrlKey' | 'metaKey' | 'shiftKey' | 'altKey'>): string[] {
  const mod = event.ctrlKey || event.metaKey ? 'Mod+' : '';
  const alt = event.altKey ? 'Alt+' : '';
  const letter = /^Key([A-Z])$/.exec(event.code)?.[1];
  const key = event.key === ' ' ? 'Space' : (letter ?? event.key);
  const shift = event.shiftKey ? 'Shift+' : '';
  return [`${mod}${shift}${alt}${key}`, `${shift}${mod}${alt}${key}`, ...(letter === undefined ? [`${mod}${alt}${key}`] : [])];
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Widgets, menus and dialogs have keys of their own. */
function belongsElsewhere(event: KeyboardEvent): boolean {
  const { dialog, palette } = useEditor.getState();
  const open = dialog !== null || palette !== null || useQuick.getState().open !== null;
  if (open || event.defaultPrevented) return true;
  const free = event.ctrlKey || event.metaKey;
  if (isTyping(event.target)) return !(free && ['Enter', 's', 'S', '.'].includes(event.key));
  const inWidget = event.target instanceof Element && event.target.closest('.own-keys, [role=menu], [role=listbox]') !== null;
  const onControl = event.target instanceof Element && event.target.closest('button, a, .panel') !== null;
  return !free && (inWidget || (onControl && ['Tab', 'Enter', ' '].includes(event.key)));
}

/** Listens until the returned function is called. */
export function attachKeys(): () => void {
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Escape' && leave(event.target)) {
      event.preventDefault();
      return;
    }
    if (belongsElsewhere(event)) return;
    const names = pressed(event);
    const found = COMMANDS.find((command) => command.keys.some((keys) => names.includes(keys)));
    if (found === undefined) return;
    event.preventDefault();
    found.run();
  };
  const onCopy = (event: ClipboardEvent): void => take(event, copied);
  const onCut = (event: ClipboardEvent): void => take(event, cut);
  const onPaste = (event: ClipboardEvent): void => {
    if (useEditor.getState().dialog !== null) return;
    if (pastePicture(event.clipboardData, pointerPlace())) event.preventDefault();
    else if (!isTyping(event.target) && paste(event.clipboardData?.getData('text/plain') ?? '')) event.preventDefault();
  };
  addEventListener('keydown', onKey);
  document.addEventListener('copy', onCopy);
  document.addEventListener('cut', onCut);
  document.addEventListener('paste', onPaste);
  return () => {
    removeEventListener('keydown', onKey);
    document.removeEventListener('copy', onCopy);
    document.removeEventListener('cut', onCut);
    document.removeEventListener('paste', onPaste);
  };
}

function take(event: ClipboardEvent, from: () => string | null): void {
  if (isTyping(event.target) || !document.getSelection()?.isCollapsed) return;
  const text = from();
  if (text === null) return;
  event.clipboardData?.setData('text/plain', text);
  event.preventDefault();
}
