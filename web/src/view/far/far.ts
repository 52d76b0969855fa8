/** Whether the canvas is looked at from afar, for what draws itself otherwise then. By context: a subscription of each node would cost more. */
import { createContext } from 'react';

export const Far = createContext(false);
