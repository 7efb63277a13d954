import type { EpochMs } from '../vocabulary/ids.ts';

/** What an operator sees of a site (`site list`). */
export interface SiteView {
  readonly site: string;
  readonly state: 'invited' | 'pending' | 'active' | 'revoked';
  readonly online: boolean;
  readonly lastSeenAt: EpochMs | null;
  readonly keyId: string | null;
  readonly identityExpiresAt: EpochMs | null;
  /** The site's present certificate; null where none was issued, or before certificates were kept. */
  readonly certificate: CertificateView | null;
  /** Serials of the site's certificates that were revoked, oldest first. */
  readonly revokedCertificates: readonly string[];
  readonly datasets: readonly string[];
  readonly trainers: readonly {
    readonly name: string;
    readonly kind: string;
    readonly backend: string;
    /** Whose layout its weights have, and the weight schemas that it is written for, where the site says. */
    readonly framework?: string | undefined;
    readonly schemas?: readonly { readonly id: string; readonly version: string }[] | undefined;
  }[];
  readonly software: string | null;
  /** Feature views that its datasets are read from, as it last declared them, and what keeps it out of jobs. */
  readonly views: readonly DeclaredViewView[];
  readonly exclusions: readonly ExclusionView[];
}

/** A feature view that a site declared. */
export interface DeclaredViewView {
  readonly dataset: string;
  readonly view: string;
  readonly schemaHash: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly unit: string | null }[];
}

/** What came of the probe of a job's weights at a site. */
export interface ProbeView {
  readonly job: string;
  readonly site: string;
  readonly state: 'passed' | 'failed';
  readonly takenAt: EpochMs;
  /** What the site stated then: trainer, kind, backend, framework, schema, software; null where it did not say. */
  readonly stated: Readonly<Record<string, string | null>>;
  /** What computed it, such as `pytorch 2.13.0`; null where nothing was computed. */
  readonly engine: string | null;
  /** Largest relative L2 error that the job allows. */
  readonly tolerance: number;
  /** In the order in which they run, the end of the model (`output`) last. */
  readonly layers: readonly {
    readonly layer: string;
    readonly relativeL2: number;
    readonly probe: string;
    /** Largest relative L2 error of this layer: more than `tolerance` where the weights manifest gives a reason. */
    readonly allowed: number;
  }[];
  /** Null where it passed. */
  readonly reason: string | null;
}

/** A running job that goes on without a site, since the site's feature view or weights are not the job's. */
export interface ExclusionView {
  readonly job: string;
  readonly site: string;
  readonly code: string;
  /** Of FEATURE_VIEW_DRIFTED: view, column, expected and found. */
  readonly details: Readonly<Record<string, string>>;
  readonly reason: string;
}

/** A certificate that was issued to a site, or that was revoked (`certificate list`). */
export interface CertificateView {
  /** Hexadecimal, as OpenSSL prints it but in lower case; decimal where identities are JSON. */
  readonly serial: string;
  /** Whose it is; null where it was revoked by its serial alone and is not a site's. */
  readonly site: string | null;
  /** `replaced`: a newer one was issued, and this one is good until it expires or is revoked. */
  readonly state: 'current' | 'replaced' | 'revoked';
  readonly expiresAt: EpochMs | null;
  readonly revokedAt: EpochMs | null;
}

/** A minted join token (`site invite`); the token is shown once and never stored in the clear. */
export interface InvitationView {
  readonly site: string;
  readonly token: string;
  readonly expiresAt: EpochMs;
}

/** A trainer that is of an earlier version of a job's weight schema, or an update that such a one made. */
export interface EarlierVersionView {
  readonly schemaVersion: string;
  /** How many tensors of the job came later. */
  readonly lackedTensors: number;
}

/** What is known of an update that is in a version. */
export interface UpdateStatisticsView {
  /** Global L2 norm. */
  readonly norm: number;
  /** The largest magnitude of an element. */
  readonly maxAbs: number;
  /** The share of elements that are zero, 0 to 1. */
  readonly zeroFraction: number;
  /** To the last global update; null where there is none. */
  readonly cosine: number | null;
  /** Why it stands out from the round's others or the site's own before it; null where it does not. */
  readonly standsOut: string | null;
}

/** A site with what is known of its updates, oldest first (`site get`). */
export interface SiteHistoryView extends SiteView {
  readonly updates: readonly (UpdateStatisticsView & {
    readonly job: string;
    readonly round: number;
    readonly sampleCount: number;
    readonly committedAt: EpochMs;
    /** Left out of an update of all tensors. */
    readonly earlier?: EarlierVersionView;
  })[];
  /** The newest probe of each job's weights at the site. */
  readonly probes: readonly ProbeView[];
}

/** What an operator sees of one participant of the current round. */
export interface ParticipantView {
  readonly site: string;
  readonly online: boolean;
  readonly state: 'assigned' | 'working' | 'done' | 'declined' | 'failed';
  readonly phase: string | null;
  readonly fraction: number | null;
  readonly loss: number | null;
  readonly bytes: number;
  readonly reason: string | null;
  /** Versions that were committed since the base that it trains from; always 0 unless sites train asynchronously. */
  readonly staleness: number;
  /** Left out where its trainer lacks nothing, or it is not connected. */
  readonly earlier?: EarlierVersionView;
}

/** One committed round. */
export interface RoundView {
  readonly round: number;
  readonly attempts: number;
  readonly version: number;
  readonly digest: string;
  readonly startedAt: EpochMs;
  readonly committedAt: EpochMs;
  readonly contributors: readonly {
    readonly site: string;
    readonly sampleCount: number;
    /** Bytes of the update as it was sent. */
    readonly bytes: number;
    /** How it was encoded: float32, float16, bfloat16, int8, or top-k/KEPT. */
    readonly encoding: string;
    readonly acceptedAt: EpochMs;
    /** Versions between the update's base and this one's; always 0 unless sites train asynchronously. */
    readonly staleness: number;
    readonly backend: string;
    /** Left out of an update of all tensors. */
    readonly earlier?: EarlierVersionView;
    readonly metrics: Readonly<Record<string, number>>;
    /** Null for rounds of before it was kept. */
    readonly statistics: UpdateStatisticsView | null;
  }[];
  readonly evaluations: readonly {
    readonly site: string;
    readonly sampleCount: number;
    readonly metrics: Readonly<Record<string, number>>;
  }[];
  /** Why earlier attempts at this round were abandoned. */
  readonly abandoned: readonly string[];
}

/** What an operator sees of a job (`job get`, and each line of `job watch -o json`). */
export interface JobView {
  readonly job: string;
  readonly state: 'running' | 'finished' | 'failed' | 'stopped';
  /** recruiting, counting, training, aggregating, evaluating, ended. */
  readonly phase: string;
  readonly round: number;
  readonly rounds: number;
  readonly attempt: number;
  readonly version: number;
  readonly modelDigest: string;
  readonly submittedAt: EpochMs;
  readonly endedAt: EpochMs | null;
  readonly deadlineAt: EpochMs | null;
  /** When a round whose attempt was abandoned is tried again; null where it is not to wait, undefined from coordinators of before. */
  readonly retryAt?: EpochMs | null;
  readonly reason: string | null;
  /** While it recruits: how many sites are ready, how many it wants, and why connected ones cannot take part; before `retryAt`, why. */
  readonly waitingFor: string | null;
  readonly acceptedUpdates: number;
  /** Since the coordinator started, as are the late ones. */
  readonly refusedUpdates: number;
  /** Updates that came when their round, their attempt or the job was over; undefined from coordinators of before. */
  readonly lateUpdates?: number;
  readonly participants: readonly ParticipantView[];
  /** Sites that the job goes on without, and why. */
  /** What its tensors mean; null where the job does not say. */
  readonly weightSchema: {
    readonly id: string;
    readonly version: string;
    readonly probe: 'required' | 'off';
    /** Of the weights manifest that came with the job; null where none did. */
    readonly manifest: {
      readonly history: readonly { readonly from: string; readonly to: string }[];
      /** What an external model is probed by; null where nothing is needed. */
      readonly golden: {
        readonly recordedWith: string;
        readonly probes: readonly string[];
        readonly layers: readonly string[];
        readonly tolerances: readonly {
          readonly layers: string;
          readonly relativeL2: number;
          readonly reason: string;
        }[];
      } | null;
    } | null;
  } | null;
  readonly exclusions: readonly ExclusionView[];
  /** The newest probe of the weights at each site, where the job needs one. */
  readonly probes: readonly ProbeView[];
  readonly constants:
    | readonly {
        readonly name: string;
        readonly mean: number;
        readonly deviation: number;
        readonly count: number;
      }[]
    | null;
  readonly history: readonly RoundView[];
}

/** One line of `job list`. */
export type JobSummaryView = Pick<
  JobView,
  'job' | 'state' | 'phase' | 'round' | 'rounds' | 'version' | 'submittedAt' | 'endedAt' | 'reason'
>;

/** What one site would answer to a job (`job submit --dry-run`). */
export interface OpinionView {
  readonly site: string;
  readonly online: boolean;
  readonly wouldJoin: boolean;
  readonly objections: readonly string[];
}

/** One committed model version (`model list`). */
export interface ModelView {
  readonly job: string;
  readonly version: number;
  readonly digest: string;
  readonly bytes: number;
  readonly committedAt: EpochMs;
  readonly contributors: readonly string[];
  /** Tensors that hold their first values in every version, since each site keeps its own; left out where there are none. */
  readonly local?: readonly string[];
}

/** How a coordinator is (`doctor`). */
export interface StatusView {
  readonly software: string;
  readonly protocolVersions: readonly number[];
  readonly federation: string;
  readonly time: EpochMs;
  readonly store: string;
  readonly channel: string;
  readonly sitesOnline: number;
  readonly jobsRunning: number;
  /** What the coordinator's feature cache has counted since the start. */
  readonly features: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
}
