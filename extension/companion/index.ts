export { Companion, type CompanionOptions, type Forgetting } from './client';
export { type Clock, systemClock } from './clock';
export { IdbOutbox, type Counts, type NewItem, type OutboxItem, type OutboxStore, type Stamp, type Version } from './outbox';
export { type Connect, nativeConnect, type Port, type PortEvents } from './port';
export type { ClientInfo, CompanionStatus, JsonObject, Kind, Rule } from './protocol';
export { HOST_NAME, PROTOCOL } from './protocol';
export { RuleSet } from './rules';
export type { CompanionState, LinkState, Problem, RequestResult } from './state';
