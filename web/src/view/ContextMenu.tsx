/** The menu of what was pointed at: opened by the right button, a long press, or a key. */
import * as Menu from '@radix-ui/react-dropdown-menu';
import { Check, ChevronRight, Slash } from 'lucide-react';
import type { CSSProperties, ReactElement } from 'react';
import { SWATCHES } from '../document/colors';
import { keyName } from '../gestures/keys';
import { itemsOf, type MenuItem } from '../gestures/menus';
import { closeMenu, useMenu } from '../state/menu';
import './menu.css';

export function ContextMenu(): ReactElement | null {
  const open = useMenu((state) => state.open);
  if (open === null) return null;
  const [left, top] = open.screen;
  return (
    <Menu.Root key={`${left} ${top}`} open modal={false} onOpenChange={(stays) => !stays && closeMenu()}>
      <Menu.Trigger className="menu-point" style={{ left, top }} tabIndex={-1} aria-hidden />
      <Menu.Portal>
        <Menu.Content
          className="menu context"
          align="start"
          sideOffset={2}
          collisionPadding={8}
          onFocusOutside={(event) => event.preventDefault()}
          onCloseAutoFocus={(event) => event.preventDefault()}
        >
          <Items items={itemsOf(open)} />
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

function Items({ items }: { readonly items: readonly MenuItem[] }): ReactElement {
  // biome-ignore lint/suspicious/noArrayIndexKey: a menu does not change while it is open
  return (
    <>
      {items.map((item, i) => (
        <Item key={i} item={item} />
      ))}
    </>
  );
}

function Item({ item }: { readonly item: MenuItem }): ReactElement {
  switch (item.kind) {
    case 'line':
      return <Menu.Separator className="menu-line" />;
    case 'title':
      return <Menu.Label className="menu-title">{item.label}</Menu.Label>;
    case 'colors':
      return <Colors now={item.now} pick={item.pick} />;
    case 'sub':
      return (
        <Menu.Sub>
          <Menu.SubTrigger className="menu-item">
            {item.label}
            <ChevronRight size={13} />
          </Menu.SubTrigger>
          <Menu.Portal>
            <Menu.SubContent className="menu context" sideOffset={4} collisionPadding={8}>
              <Items items={item.items} />
            </Menu.SubContent>
          </Menu.Portal>
        </Menu.Sub>
      );
    case 'do':
      return (
        <Menu.Item className="menu-item" onSelect={() => later(item.run)}>
          <span className="menu-label">
            {item.checked && <Check size={13} aria-label="on" />}
            {item.label}
          </span>
          {item.keys !== '' && <kbd>{keyName(item.keys)}</kbd>}
        </Menu.Item>
      );
  }
}

/** When the menu has gone and has given back the focus. */
function later(work: () => void): void {
  closeMenu();
  setTimeout(work);
}

function Colors({ now, pick }: { readonly now: string | undefined; readonly pick: (color: string | null) => void }): ReactElement {
  return (
    <Menu.Group className="swatches" aria-label="Colour">
      <Menu.Item className="swatch none" aria-label="No colour" onSelect={() => pick(null)}>
        <Slash size={13} />
      </Menu.Item>
      {SWATCHES.map(({ name, color }) => (
        <Menu.Item
          key={color}
          className={now === color ? 'swatch now' : 'swatch'}
          style={{ '--swatch': color } as CSSProperties}
          aria-label={name}
          onSelect={() => pick(color)}
        />
      ))}
    </Menu.Group>
  );
}
