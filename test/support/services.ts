import { once } from 'node:events';
import { get } from 'node:http';
import { connect, createServer } from 'node:net';

/** A port nobody listens on; the images' own may be taken on this machine. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address ? address.port : 0;
}

async function readText(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

/** @returns the body of `GET /` on this machine */
export async function httpGet(port: number): Promise<string> {
  const [answer] = await once(get(`http://127.0.0.1:${port}/`), 'response');
  return readText(answer);
}

/** @returns what a Redis on this machine answers to PING */
export async function redisPing(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  socket.end('PING\r\n');
  return readText(socket);
}
