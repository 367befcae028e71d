import { createRequire } from 'node:module';
import type * as Undici from 'undici';

const require = createRequire(import.meta.url);

/**
 * The parts of undici that are used. Its entry loads fetch, caches and web sockets besides: measured, 73 ms of CPU
 * against 21, before the first request of a start. Loaded when it is called, once.
 */
export function loadUndici(): Pick<typeof Undici, 'Agent' | 'buildConnector'> {
  const Agent = require('undici/lib/dispatcher/agent.js') as typeof Undici.Agent;
  // As its entry does.
  Agent.prototype.request = require('undici/lib/api/api-request.js');
  return { Agent, buildConnector: require('undici/lib/core/connect.js') };
}

/** What only those need who have a proxy. */
export function loadProxyAgent(): Pick<typeof Undici, 'Pool' | 'ProxyAgent'> {
  const ProxyAgent = require('undici/lib/dispatcher/proxy-agent.js') as typeof Undici.ProxyAgent;
  const Pool = require('undici/lib/dispatcher/pool.js') as typeof Undici.Pool;
  ProxyAgent.prototype.request = require('undici/lib/api/api-request.js');
  // What a tunnel is asked for with.
  Pool.prototype.connect = require('undici/lib/api/api-connect.js');
  return { Pool, ProxyAgent };
}
