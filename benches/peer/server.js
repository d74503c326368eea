// A chat server as a good Node programmer would write it, for comparison. See README.md.
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import argon2 from 'argon2';
import express from 'express';
import jwt from 'jsonwebtoken';
import { Server } from 'socket.io';
import { Refused } from './refused.js';
import { newId } from './storage/id.js';
import { openStorage } from './storage/index.js';

const store = await openStorage(process.env);
const secret = process.env.JWT_ACCESS_SECRET ?? randomUUID();
const hashing = { type: argon2.argon2id, memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 };
const started = Date.now();

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.use(express.json({ limit: '64kb' }));
const http = createServer(app);
http.keepAliveTimeout = 60_000;
const io = new Server(http, { maxHttpBufferSize: 65_536, serveClient: false });

// NUL is no text for PostgreSQL, so it is refused on every storage.
const isText = (value, most) => typeof value === 'string' && value.length <= most && !value.includes('\0');
const iso = (ms) => new Date(ms).toISOString();

function caller(token) {
  try {
    const { userId, username } = jwt.verify(token ?? '', secret, { algorithms: ['HS256'] });
    return { id: userId, username };
  } catch {
    throw new Refused(401, 'invalid_token', 'Invalid or expired access token');
  }
}

function authenticated(request, _response, next) {
  request.user = caller(request.get('authorization')?.slice('Bearer '.length));
  next();
}

function tokens({ id, email, username }) {
  const accessToken = jwt.sign({ userId: id, email, username, role: 'CUSTOMER' }, secret, { expiresIn: '15m' });
  return { accessToken, refreshToken: randomUUID(), expiresIn: 900 };
}

function userView({ id, email, username, createdAt }) {
  return { id, email, username, avatar: null, role: 'CUSTOMER', createdAt: iso(createdAt) };
}

function parseSend(body, user) {
  const { conversationId, content, clientMessageId } = body ?? {};
  if (typeof conversationId !== 'string' || !isText(content, 5000) || content.trim() === '') throw Refused.invalid();
  const given = typeof clientMessageId === 'string' ? clientMessageId : null;
  if (given !== null && !isText(given, 128)) throw Refused.invalid();
  return { conversationId, content, clientMessageId: given, senderId: user.id, createdAt: Date.now() };
}

function messageView(message, username) {
  const { id, seq, conversationId, clientMessageId, content, senderId, createdAt } = message;
  const sender = { id: senderId, username, avatar: null };
  return { id, seq, conversationId, clientMessageId, content, type: 'TEXT', fileUrl: null, fileName: null, fileSize: null, sender, reads: [], createdAt: iso(createdAt) };
}

// Numbers in a query: whole and above 0, or what stands for none.
const wholeOf = (text, otherwise) => (Number.isSafeInteger(Number(text)) && Number(text) > 0 ? Number(text) : otherwise);
const pageOf = (text, otherwise) => Math.min(wholeOf(text, otherwise), 200);

const storedView = (message) => messageView(message, message.username);

async function send(body, user) {
  const { message, duplicate } = await store.append(parseSend(body, user));
  if (!duplicate) announce(message, user);
  return { message: messageView(message, user.username), duplicate };
}

function announce(message, user) {
  const { id, seq, conversationId, content, senderId, createdAt, clientMessageId } = message;
  const sockets = io.sockets.adapter.rooms.get(conversationId);
  if (!sockets) return;
  io.to(conversationId).emit('message:new', {
    id, seq, conversationId, content, type: 'TEXT', senderId, senderUsername: user.username,
    createdAt: iso(createdAt), clientMessageId: clientMessageId ?? undefined,
  });
  const others = new Set();
  for (const sid of sockets) {
    const listener = io.sockets.sockets.get(sid)?.data.user.id;
    if (listener && listener !== senderId) others.add(listener);
  }
  if (others.size > 0) {
    io.to(`user:${senderId}`).emit('message:delivered', { messageId: id, conversationId, seq, deliveredTo: [...others] });
  }
}

app.get(['/health', '/api/health'], (_request, response) => {
  response.json({ status: 'OK', timestamp: iso(Date.now()), uptime: (Date.now() - started) / 1000 });
});

app.post('/api/auth/register', async (request, response) => {
  const { email, username, password } = request.body ?? {};
  if (!isText(email, 254) || !isText(username, 30) || !isText(password, 1024) || password.length < 8) throw Refused.invalid();
  const passwordHash = await argon2.hash(password, hashing);
  const user = { id: newId(), email: email.toLowerCase(), username, passwordHash, createdAt: Date.now() };
  await store.addUser(user);
  response.status(201).json({ message: 'User registered successfully', user: userView(user), tokens: tokens(user) });
});

const decoy = await argon2.hash('no account has this password', hashing);
app.post('/api/auth/login', async (request, response) => {
  const { email, password } = request.body ?? {};
  if (!isText(email, 254)) throw Refused.invalid();
  const user = await store.account(email.toLowerCase());
  const matches = await argon2.verify(user?.passwordHash ?? decoy, String(password));
  if (!user || !matches) throw new Refused(401, 'invalid_credentials', 'Invalid credentials');
  response.json({ user: userView(user), tokens: tokens(user) });
});

app.post('/api/conversations', authenticated, async (request, response) => {
  const { participantIds, type, name = null } = request.body ?? {};
  if (!Array.isArray(participantIds) || !participantIds.every((id) => typeof id === 'string')) throw Refused.invalid();
  if (!isText(type, 20) || (name !== null && !isText(name, 100))) throw Refused.invalid();
  const members = [...new Set([request.user.id, ...participantIds])];
  const id = await store.createConversation({ type, name, participantIds: members });
  const participants = await store.participants(id);
  response.status(201).json({ message: 'Conversation created successfully', conversation: { id, type, name, status: 'OPEN', participants } });
});

app.get('/api/conversations', authenticated, async (request, response) => {
  const limit = pageOf(request.query.limit, 100);
  const conversations = (await store.list(request.user.id, limit)).map((row) => ({
    id: row.id, name: row.name, type: row.type, status: 'OPEN', participants: row.participants,
    lastMessage: row.last ? storedView(row.last) : null, unreadCount: row.unread, lastSeq: row.lastSeq,
    createdAt: iso(row.createdAt), updatedAt: iso(row.updatedAt),
  }));
  response.json({ conversations, nextCursor: null });
});

app.post('/api/messages', authenticated, async (request, response) => {
  const { message, duplicate } = await send(request.body, request.user);
  response.status(duplicate ? 200 : 201).json({ message: 'Message sent successfully', data: message, ...(duplicate && { duplicate }) });
});

app.get('/api/messages/unread/count', authenticated, async (request, response) => {
  const rows = await store.unread(request.user.id);
  const unreadCount = rows.reduce((sum, row) => sum + row.unread, 0);
  response.json({ unreadCount, conversations: Object.fromEntries(rows.map((row) => [row.id, row.unread])) });
});

app.get('/api/messages/:conversationId', authenticated, async (request, response) => {
  const { conversationId } = request.params;
  await store.requireParticipant(conversationId, request.user.id);
  const limit = pageOf(request.query.limit, 50);
  const before = wholeOf(request.query.before, Number.MAX_SAFE_INTEGER);
  const rows = await store.before(conversationId, before, limit + 1);
  const hasMore = rows.length > limit;
  response.json({ messages: rows.slice(0, limit).reverse().map(storedView), hasMore });
});

app.use((_request, response) => response.status(404).json({ error: 'Route not found', code: 'route_not_found' }));
app.use((error, _request, response, _next) => {
  const refused = error instanceof Refused;
  if (!refused) console.error(error);
  response.status(refused ? error.status : (error.status ?? 500)).json({
    error: refused ? error.message : 'Internal server error',
    code: refused ? error.code : 'internal',
  });
});

io.use((socket, next) => {
  try {
    socket.data.user = caller(socket.handshake.auth?.token);
    next();
  } catch {
    next(new Error('Invalid authentication token'));
  }
});

io.on('connection', (socket) => {
  const { user } = socket.data;
  socket.join(`user:${user.id}`);
  const on = (event, handle) => socket.on(event, async (payload, acknowledge) => {
    let answer;
    try {
      answer = { ok: true, ...(await handle(payload)) };
    } catch (error) {
      if (!(error instanceof Refused)) console.error(error);
      answer = { ok: false, error: { code: error.code ?? 'internal', message: error.message } };
    }
    if (typeof acknowledge === 'function') acknowledge(answer);
    else if (!answer.ok) socket.emit('error', answer.error);
  });
  on('conversation:join', async (payload) => {
    const conversationId = typeof payload === 'string' ? payload : payload?.conversationId;
    if (typeof conversationId !== 'string') throw Refused.invalid();
    await store.requireParticipant(conversationId, user.id);
    socket.join(conversationId);
    return { conversationId, lastSeq: await store.lastSeq(conversationId), messages: [], hasMore: false };
  });
  on('message:send', (payload) => send(payload, user));
});

http.listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => {
  io.close(async () => { await store.close(); process.exit(0); });
  setTimeout(() => process.exit(0), 2000).unref();
});
