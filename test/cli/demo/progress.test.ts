import { describe, expect, it } from 'vitest';
import { ProgressDisplay } from '../../../src/cli/demo/progress.ts';
import { displayWidth } from '../../../src/cli/table.ts';
import type { JobView } from '../../../src/protocol/views.ts';
import { sampleJob } from './sample-run.ts';

const ESCAPE = String.fromCharCode(27);

function terminal(columns: number | undefined) {
  const written: string[] = [];
  return {
    isTTY: columns !== undefined,
    columns,
    write: (text: string) => written.push(text),
    text: () => written.join(''),
  };
}

/** What a terminal would show after the text: cursor up and clear below are obeyed. */
function screen(text: string): readonly string[] {
  const lines: string[] = [''];
  for (const piece of text.split(new RegExp(`(${ESCAPE}\\[\\d+A${ESCAPE}\\[0J|\\n)`))) {
    const up = new RegExp(`^${ESCAPE}\\[(\\d+)A`).exec(piece);
    if (up) lines.splice(lines.length - 1 - Number(up[1]), Number.POSITIVE_INFINITY, '');
    else if (piece === '\n') lines.push('');
    else lines[lines.length - 1] += piece;
  }
  return lines;
}

function running(round: number, more: Partial<JobView> = {}): JobView {
  const job = sampleJob();
  return {
    ...job,
    state: 'running',
    phase: round === 0 ? 'counting' : 'training',
    round,
    history: job.history.slice(0, Math.max(0, round - 1)),
    participants: job.participants.map((one, place) => ({
      ...one,
      state: 'working',
      phase: 'training',
      fraction: 0.25 * (place + 1),
      loss: 0.5,
      bytes: 964,
    })),
    ...more,
  };
}

describe('progress on a terminal', () => {
  it('is redrawn in place: one display, however many views', () => {
    const stream = terminal(100);
    const display = new ProgressDisplay(stream, { NO_COLOR: '1' });
    for (const round of [0, 1, 2, 7]) display.show(running(round));
    const shown = screen(stream.text());
    expect(shown).toHaveLength(1 + 4 + 1 + 1);
    expect(shown[0]).toContain('round 7/20  training');
    expect(shown[1]).toMatch(/cleveland +training 25 % +loss 0\.5000 +AUC 0\.\d{3} +5\.6 KiB/);
    expect(shown.at(-2)).toContain('22.6 KiB received');
  });

  it('keeps the sites in sight when the job has ended and has no participants any more', () => {
    const stream = terminal(100);
    const display = new ProgressDisplay(stream, { NO_COLOR: '1' });
    display.show(running(20));
    display.show({ ...sampleJob(), state: 'finished', phase: 'ended', participants: [] });
    const shown = screen(stream.text());
    expect(shown).toHaveLength(1 + 4 + 1 + 1);
    expect(shown[1]).toMatch(/✓ cleveland +done .* 18\.8 KiB/);
  });

  it('shows who is away, done or has declined, and why, without obeying what a site says', () => {
    const stream = terminal(120);
    const [first, second, third, fourth] = running(2).participants;
    const participants = [
      { ...first!, online: false },
      { ...second!, state: 'done' as const },
      { ...third!, state: 'declined' as const, reason: `policy${ESCAPE}[2J\nforged line` },
      fourth!,
    ];
    new ProgressDisplay(stream, { NO_COLOR: '1' }).show(running(2, { participants, refusedUpdates: 3 }));
    const shown = screen(stream.text());
    expect(shown[1]).toContain('away');
    expect(shown[2]).toContain('done');
    expect(shown[3]).toContain('declined');
    expect(shown[3]).toContain('policy [2J forged line');
    expect(shown[5]).toContain('3 refused');
    expect(stream.text()).not.toContain(ESCAPE);
  });

  it('tells late updates from refused ones', () => {
    const stream = terminal(120);
    new ProgressDisplay(stream, { NO_COLOR: '1' }).show(running(2, { refusedUpdates: 0, lateUpdates: 1 }));
    expect(screen(stream.text())[5]).toContain('0 refused, 1 late');
  });

  it('cuts lines to the width, so that none wraps', () => {
    const stream = terminal(40);
    new ProgressDisplay(stream, { FORCE_COLOR: '1' }).show(running(3));
    for (const line of screen(stream.text())) expect(displayWidth(line)).toBeLessThan(40);
  });

  it('keeps what is said above the display', () => {
    const stream = terminal(100);
    const display = new ProgressDisplay(stream, { NO_COLOR: '1' });
    display.show(running(1));
    display.say('comparing with models trained alone');
    const shown = screen(stream.text());
    expect(shown[0]).toBe('comparing with models trained alone');
    expect(shown[1]).toContain('round 1/20');
    expect(shown).toHaveLength(8);
  });
});

describe('progress elsewhere', () => {
  it('is one plain line for each change of round or phase, and none for the same view again', () => {
    const stream = terminal(undefined);
    const display = new ProgressDisplay(stream, {});
    for (const round of [0, 1, 1, 2]) display.show(running(round));
    display.show(sampleJob());
    const text = stream.text();
    expect(text).not.toContain(ESCAPE);
    expect(text.match(/round 1\/20, training/g)).toHaveLength(1);
    expect(text.match(/round 1\/20 committed/g)).toHaveLength(1);
    expect(text).toContain('finished');
  });

  it('is plain on a dumb terminal too', () => {
    const stream = terminal(80);
    new ProgressDisplay(stream, { TERM: 'dumb' }).show(running(1));
    expect(stream.text()).not.toContain(ESCAPE);
  });

  it.each([
    [{ FORCE_COLOR: '1' }, true],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false],
    [{}, false],
  ])('is coloured with %o: %s', (environment, coloured) => {
    const stream = terminal(undefined);
    new ProgressDisplay(stream, environment).show(running(1));
    expect(stream.text().includes(`${ESCAPE}[`)).toBe(coloured);
  });
});
