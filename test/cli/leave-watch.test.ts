import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { buildProgram } from '../../src/cli/program.ts';

/** A stream that remembers what was written. */
function sink() {
  const stream = new PassThrough();
  let text = '';
  stream.on('data', (piece: Buffer) => {
    text += piece.toString();
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

test('whoever leaves job watch before the coordinator has answered is told that the job goes on', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'consilium-watch-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  // Takes connections, and never says a word.
  let dialled = () => {};
  const reached = new Promise<void>((resolve) => {
    dialled = resolve;
  });
  const silent = createServer((socket) => {
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    dialled();
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void silent.close());
  const ending = new AbortController();
  const run = async (...words: string[]) => {
    const [stdout, stderr] = [sink(), sink()];
    const program = buildProgram({
      ...{ stdout: stdout.stream, stderr: stderr.stream, stdin: process.stdin },
      ...{ environment: { NO_COLOR: '1' }, ending: ending.signal },
    });
    const outcome = await program.parseAsync(['node', 'consilium', ...words]).then(
      () => undefined,
      (error: Error) => error,
    );
    return { outcome, stderr: stderr.text };
  };
  const federation = path.join(folder, 'hearts');
  const { port } = silent.address() as { port: number };
  const address = ['--listen', `127.0.0.1:${port}`];
  const made = await run('init', federation, '--federation', 'hearts', '--plain-keys', ...address);
  expect(made.outcome).toBeUndefined();
  const watching = run('job', 'watch', 'heart', '--federation-dir', federation);
  await reached;
  ending.abort('SIGINT');
  const { outcome, stderr } = await watching;
  expect(outcome).toMatchObject({ problem: { code: 'INTERRUPTED' } });
  expect(stderr()).toContain('The job goes on. consilium job watch heart shows it again');
});
