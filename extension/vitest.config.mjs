import { defineConfig } from 'vitest/config';
import { planted } from './faults.mjs';

export default defineConfig({
  // A test of the tests: see faults.mjs.
  plugins: planted(process.env.HEYHO_FAULT),
  test: { include: ['**/*.test.ts', '*.test.mjs'], exclude: ['node_modules/**', 'dist/**'], environment: 'node', testTimeout: 60_000 },
});
