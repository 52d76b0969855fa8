import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

/** The server's policy allows no inline script or style, so nothing is inlined; file names carry their content's hash. */
export default defineConfig({
  plugins: [react()],
  base: './',
  build: {
    outDir: '../nodegraph/server/static',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    chunkSizeWarningLimit: 1200,
  },
  server: {
    proxy: { '/api': { target: 'http://127.0.0.1:8188', ws: true }, '/view': 'http://127.0.0.1:8188' },
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node', pool: 'threads', maxWorkers: 1, testTimeout: 60_000 },
});
