#!/bin/sh
# Collects what the image of the Containerfile holds: the binary, the shared libraries it names, the roots of TLS.
#
#     scripts/container.sh [BINARY] [FOLDER]
#
# Nothing is pulled: all of it is on the machine that built the binary.
set -eu
binary=${1:-target/release/poststelle}
folder=${2:-target/container}
rm -rf "$folder"
mkdir -p "$folder/usr/bin" "$folder/etc/ssl/certs" "$folder/opt/ml" "$folder/tmp"
cp "$binary" "$folder/usr/bin/poststelle"
strip "$folder/usr/bin/poststelle"
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$folder$(dirname "$library")"
    cp -L "$library" "$folder$library"
done
[ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
du -sh "$folder"
