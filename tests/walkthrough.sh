#!/usr/bin/env bash
# Walks through a running server with curl, as the steps of a README do: walkthrough.sh http://127.0.0.1:3000
#
# Prints a line for each step and ends with 1 at the first surprise. Needs curl and python3.
set -euo pipefail

base=${1:?"usage: $0 <base-url>"}
run=$(date +%s)$RANDOM
json='Content-Type: application/json'
password='correct horse battery'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What curl is always told: the body goes to a file, the status to standard output.
ask() { curl --silent --show-error --noproxy '*' --max-time 10 --output "$work/body" --write-out '%{http_code}' "$@"; }

fail() {
  printf 'NOT OK  %s\n        %s\n' "$1" "$(head -c 600 "$work/body" 2>/dev/null)" >&2
  exit 1
}

# expect STEP STATUS GOT [EXPRESSION]: the status must be this, and the Python expression over the body `b` true.
expect() {
  [ "$3" = "$2" ] || fail "$1: status $3, not $2"
  if [ $# -gt 3 ]; then
    python3 -c 'import json, sys; b = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
      "$work/body" "$4" 2>"$work/why" || fail "$1: not so: $4 $(tail -n 1 "$work/why")"
  fi
  printf 'ok  %s\n' "$1"
}

# field EXPRESSION: a value out of the last body.
field() { python3 -c 'import json, sys; b = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$work/body" "$1"; }

expect 'the server is healthy' 200 "$(ask "$base/health")" 'b["status"] == "OK" and b["uptime"] >= 0'
expect 'so it is under /api' 200 "$(ask "$base/api/health")" 'b["status"] == "OK"'
expect 'an unknown route is told as such' 404 "$(ask "$base/api/nothing")" 'b["code"] == "route_not_found"'

# --- Accounts ---

expect 'a customer registers' 201 "$(ask -X POST "$base/api/auth/register" -H "$json" \
  -d "{\"email\":\"customer-$run@example.com\",\"username\":\"customer-$run\",\"password\":\"$password\"}")" \
  'b["message"] == "User registered successfully" and b["user"]["role"] == "CUSTOMER" and "tokens" in b'
customer_id=$(field 'b["user"]["id"]')

expect 'an agent registers' 201 "$(ask -X POST "$base/api/auth/register" -H "$json" \
  -d "{\"email\":\"agent-$run@example.com\",\"username\":\"agent-$run\",\"password\":\"$password\",\"role\":\"AGENT\"}")" \
  'b["user"]["role"] == "AGENT"'
agent_id=$(field 'b["user"]["id"]')
agent=$(field 'b["tokens"]["accessToken"]')

expect 'an e-mail is taken once' 409 "$(ask -X POST "$base/api/auth/register" -H "$json" \
  -d "{\"email\":\"CUSTOMER-$run@example.com\",\"username\":\"another-$run\",\"password\":\"$password\"}")" \
  'b["code"] == "conflict" and b["error"] == "User with this email or username already exists"'

expect 'the customer logs in' 200 "$(ask -X POST "$base/api/auth/login" -H "$json" \
  -d "{\"email\":\"customer-$run@example.com\",\"password\":\"$password\"}")" \
  'b["user"]["isOnline"] is False and b["tokens"]["refreshToken"] != ""'
customer=$(field 'b["tokens"]["accessToken"]')
refresh=$(field 'b["tokens"]["refreshToken"]')

expect 'a wrong password is refused' 401 "$(ask -X POST "$base/api/auth/login" -H "$json" \
  -d "{\"email\":\"customer-$run@example.com\",\"password\":\"not the password\"}")" \
  'b["code"] == "invalid_credentials"'

expect 'the customer is who they are' 200 "$(ask "$base/api/auth/me" -H "Authorization: Bearer $customer")" \
  "b['user']['id'] == '$customer_id' and 'password' not in str(b).lower()"

expect 'tokens are refreshed' 200 "$(ask -X POST "$base/api/auth/refresh" -H "$json" \
  -d "{\"refreshToken\":\"$refresh\"}")" 'b["message"] == "Tokens refreshed successfully"'
customer=$(field 'b["tokens"]["accessToken"]')

# --- A conversation ---

expect 'nobody creates one without a token' 401 "$(ask -X POST "$base/api/conversations" -H "$json" \
  -d "{\"participantIds\":[\"$agent_id\"],\"type\":\"DIRECT\"}")" 'b["error"] == "Access token required"'

expect 'the customer creates one with the agent' 201 "$(ask -X POST "$base/api/conversations" \
  -H "Authorization: Bearer $customer" -H "$json" -d "{\"participantIds\":[\"$agent_id\"],\"type\":\"DIRECT\"}")" \
  'b["message"] == "Conversation created successfully" and len(b["conversation"]["participants"]) == 2'
conversation=$(field 'b["conversation"]["id"]')

expect 'there is only one for the two' 409 "$(ask -X POST "$base/api/conversations" \
  -H "Authorization: Bearer $agent" -H "$json" -d "{\"participantIds\":[\"$customer_id\"],\"type\":\"DIRECT\"}")" \
  "b['code'] == 'direct_exists' and b['conversationId'] == '$conversation'"

expect 'the customer sends a message' 201 "$(ask -X POST "$base/api/messages" -H "Authorization: Bearer $customer" \
  -H "$json" -d "{\"conversationId\":\"$conversation\",\"content\":\"Where is my order?\",\"type\":\"TEXT\"}")" \
  'b["message"] == "Message sent successfully" and b["data"]["seq"] == 1 and b["data"]["content"] == "Where is my order?"'
message=$(field 'b["data"]["id"]')

send="{\"conversationId\":\"$conversation\",\"content\":\"It left today.\",\"clientMessageId\":\"reply-1\"}"
expect 'the agent answers' 201 "$(ask -X POST "$base/api/messages" -H "Authorization: Bearer $agent" -H "$json" \
  -d "$send")" 'b["data"]["seq"] == 2 and b["data"]["clientMessageId"] == "reply-1"'
expect 'a repeated answer is not a second one' 200 "$(ask -X POST "$base/api/messages" \
  -H "Authorization: Bearer $agent" -H "$json" -d "$send")" 'b["duplicate"] is True and b["data"]["seq"] == 2'

expect 'a message without a text is refused' 400 "$(ask -X POST "$base/api/messages" \
  -H "Authorization: Bearer $customer" -H "$json" -d "{\"conversationId\":\"$conversation\"}")" \
  'b["error"] == "Validation error" and b["details"][0].startswith("\"content\"")'

expect 'the agent lists conversations' 200 "$(ask "$base/api/conversations" -H "Authorization: Bearer $agent")" \
  'len(b["conversations"]) == 1 and b["conversations"][0]["unreadCount"] == 1 and b["conversations"][0]["lastMessage"]["seq"] == 2'

expect 'the agent reads the messages' 200 "$(ask "$base/api/messages/$conversation?page=1&limit=50" \
  -H "Authorization: Bearer $agent")" \
  '[m["content"] for m in b["messages"]] == ["Where is my order?", "It left today."] and b["hasMore"] is False'

expect 'one of them is unread' 200 "$(ask "$base/api/messages/unread/count" -H "Authorization: Bearer $agent")" \
  "b['unreadCount'] == 1 and b['conversations'] == {'$conversation': 1}"
expect 'the agent marks it as read' 200 "$(ask -X POST "$base/api/messages/read" -H "Authorization: Bearer $agent" \
  -H "$json" -d "{\"messageIds\":[\"$message\"]}")" 'b["message"] == "Messages marked as read"'
expect 'none is unread then' 200 "$(ask "$base/api/messages/unread/count" -H "Authorization: Bearer $agent")" \
  'b["unreadCount"] == 0'
expect 'the customer sees that it was read' 200 "$(ask "$base/api/messages/$conversation" \
  -H "Authorization: Bearer $customer")" "b['messages'][0]['reads'][0]['user']['id'] == '$agent_id'"

# --- A file ---

printf 'receipt number 7\n' >"$work/receipt.txt"
status=$(ask -X POST "$base/api/upload" -H "Authorization: Bearer $customer" -F "file=@$work/receipt.txt")
if [ "$status" = 404 ] && [ "$(field 'b["code"]')" = route_not_found ]; then
  printf 'SKIPPED  this server takes no files\n'
else
  expect 'the customer uploads a file' 200 "$status" \
    'b["message"] == "File uploaded successfully" and b["file"]["originalName"] == "receipt.txt" and b["file"]["size"] == 17'
  url=$(field 'b["file"]["url"]')
  expect 'and reads it' 200 "$(ask "$base$url" -H "Authorization: Bearer $customer")"
  cmp -s "$work/body" "$work/receipt.txt" || fail 'the file is not what was uploaded'
  expect 'and sends it' 201 "$(ask -X POST "$base/api/messages" -H "Authorization: Bearer $customer" -H "$json" \
    -d "{\"conversationId\":\"$conversation\",\"content\":\"\",\"type\":\"FILE\",\"fileUrl\":\"$url\",\"fileName\":\"receipt.txt\",\"fileSize\":17}")" \
    'b["data"]["type"] == "FILE" and b["data"]["fileName"] == "receipt.txt" and b["data"]["fileSize"] == 17'
  url=$(field 'b["data"]["fileUrl"]')
  expect 'the agent reads it too' 200 "$(ask "$base$url" -H "Authorization: Bearer $agent")"
  expect 'its signed address needs no token, as in an <img>' 200 "$(ask "$base$url")"
  expect 'without the signature nobody else reads it' 401 "$(ask "$base${url%%\?*}")"
fi

# --- The end ---

expect 'the customer may not close it' 403 "$(ask -X DELETE "$base/api/conversations/$conversation" \
  -H "Authorization: Bearer $customer")" 'b["code"] == "forbidden" and b["current"] == "CUSTOMER"'
expect 'the agent closes it' 200 "$(ask -X DELETE "$base/api/conversations/$conversation" \
  -H "Authorization: Bearer $agent")" 'b["message"] == "Conversation closed successfully"'
expect 'nothing more is said in it' 409 "$(ask -X POST "$base/api/messages" -H "Authorization: Bearer $customer" \
  -H "$json" -d "{\"conversationId\":\"$conversation\",\"content\":\"one more thing\"}")" \
  'b["code"] == "conversation_closed"'
expect 'the customer logs out' 200 "$(ask -X POST "$base/api/auth/logout" -H "Authorization: Bearer $customer")" \
  'b["message"] == "Logout successful"'
expect 'and is out' 401 "$(ask "$base/api/auth/me" -H "Authorization: Bearer $customer")" \
  'b["code"] == "invalid_token"'
echo 'all steps went as they must'
