/** The example in docs/connect-your-extension.md compiles as it stands, strictly. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;

it('the example of the documentation compiles, strictly', () => {
  const page = readFileSync(join(root, '../docs/connect-your-extension.md'), 'utf8');
  const example = /```ts\n([^]*?)```/.exec(page)?.[1] ?? '';
  expect(example).toContain("companion.once('first-handover'");
  const read = (path: string): string | undefined => ts.sys.readFile(path);
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(join(root, 'tsconfig.json'), read).config, ts.sys, root);
  // Beside the module, as step 1 has it; on no disk.
  const file = join(root, 'example-of-the-documentation.ts');
  const host = ts.createCompilerHost(options);
  host.readFile = (path) => (path === file ? example : read(path));
  const found = ts.getPreEmitDiagnostics(ts.createProgram([file], options, host));
  expect(found.map((one) => ts.flattenDiagnosticMessageText(one.messageText, '\n'))).toEqual([]);
});
