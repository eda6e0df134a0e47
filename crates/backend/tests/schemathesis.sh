#!/bin/sh
# Asks a running backend everything its OpenAPI document allows, and much that it does not: no 5xx, no answer that the
# document does not know. schemathesis comes from the Python registry into target/, once.
#
#     crates/backend/tests/schemathesis.sh [EXAMPLES]
set -eu
cd "$(dirname "$0")/../../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet -p heyho-backend
tools=$target/schemathesis
[ -x "$tools/bin/schemathesis" ] || { python3 -m venv "$tools" && "$tools/bin/pip" --quiet install "schemathesis==4.*"; }

work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
cat >"$work/backend.toml" <<TOML
[limits]
user_requests = { burst = 1000000, per_minute = 1000000 }
network_requests = { burst = 1000000, per_minute = 1000000 }
network_sign_ins = { burst = 1000000, per_minute = 1000000 }
address_sign_ins = { burst = 1000000, per_minute = 1000000 }
TOML
"$target/debug/heyho-backend" serve --listen 127.0.0.1:0 --config "$work/backend.toml" \
    --database "${HEYHO_DATABASE_URL:-sqlite://$work/heyho.db}" >"$work/out" 2>"$work/log" &
server=$!
until grep -q listening "$work/out"; do kill -0 $server; done
base=$(sed 's/listening on //' "$work/out")

sign_in() {
    curl -s "$base/api/v1/auth/register" -d "{\"email\":\"$1@example.org\",\"password\":\"correct horse\"}" |
        sed 's/.*"access_token":"\([^"]*\)".*/\1/'
}
ask() {
    token=$1; shift
    "$tools/bin/schemathesis" run "$base/api/v1/openapi.json" --header "Authorization: Bearer $token" \
        --max-examples "${EXAMPLES:-50}" --no-color --phases examples,coverage,fuzzing \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance "$@"
}
EXAMPLES=${1:-50}
# first what keeps the session alive, then what ends it
ask "$(sign_in one)" --exclude-path-regex '(logout|password|users/me$)'
ask "$(sign_in two)" --include-path-regex '(logout|password|users/me$)'
! grep -i ' error ' "$work/log"
