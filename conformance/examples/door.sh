#!/bin/sh
# Usage: door.sh SERVER CLIENT MECHANISM ADDRESS: runs both programs of the example; the client learns the address that
# the server prints.
set -eu
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
mkfifo "$folder/address"
"$1" "$3" "$4" >"$folder/address" &
read -r address <"$folder/address"
"$2" "$3" "$address"
wait $!
