#!/usr/bin/env bash
# Photographs every kind of message, in both languages, as it is shown by the preview page: docs/messages/*.png.
# Needs Chromium (CHROMIUM names it) and python3 with Pillow, which crops the pictures and reduces their colours.
set -euo pipefail
cd "$(dirname "$0")/.."

browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
mkdir -p docs/messages

FIRSTLOOK_SCREENS=$pages cargo test --quiet --lib notify::snapshots::pages >&2

# Only the messages: the page around them is for its readers. Folds stay closed, as people find them.
only='.top,.intro,.evidence,.message>h2{display:none!important}
main{display:block!important;padding:16px!important}
.devices{grid-template-columns:repeat(2,480px)!important}
.inbox{grid-column:1/-1!important;width:700px!important;max-width:none!important}'

for page in "$pages"/*.html; do
  name=$(basename "$page" .html)
  python3 - "$page" "$only" <<'PY'
import pathlib, sys
page = pathlib.Path(sys.argv[1])
page.write_text(page.read_text().replace("</head>", f"<style>{sys.argv[2]}</style></head>"))
PY
  "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --force-color-profile=srgb \
    --blink-settings=preferredColorScheme=1 --window-size=1012,3200 --virtual-time-budget=2000 \
    --screenshot="$pages/$name.png" "file://$page" >/dev/null 2>&1
  python3 - "$pages/$name.png" "docs/messages/$name.png" <<'PY'
import sys
from PIL import Image, ImageChops
image = Image.open(sys.argv[1]).convert("RGB")
ground = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
_, _, right, bottom = ImageChops.difference(image, ground).getbbox()
# A long mail is cut: what matters stands at its top.
image = image.crop((0, 0, min(image.width, right + 16), min(bottom + 16, 2000)))
image.quantize(colors=96, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(sys.argv[2], optimize=True)
PY
  printf '%s %s bytes\n' "docs/messages/$name.png" "$(stat -c %s "docs/messages/$name.png")"
done
