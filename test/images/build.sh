#!/bin/bash
# build.sh [NAME…]: the real container images of the test suite, from Debian packages, in one OCI layout with a tag each.
#
#   base python node nginx redis upgrade   Debian and programs on it, as people build images
#   edge                                   everything a tar layer can say, in several dialects (edge.py)
#   odd                                    what GNU tar reads and containerd refuses: sparse files, one above 4 GiB
#
# Everything lies in $SLUICE_IMAGES (default: ~/.cache/sluice-images): the layout in oci/, uncompressed layers in layers/.
# An image is built when it is missing or these scripts changed; a run with nothing to do takes no time.
# Needs root, this machine's apt sources, and the packages mmdebstrap, python3, tar and zstd.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
root=${SLUICE_IMAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice-images}
work=$root/work layers=$root/layers packages=$root/aptcache logs=$root/logs stamps=$root/stamps
suite=bookworm
export SOURCE_DATE_EPOCH=1700000000 LC_ALL=C.UTF-8
umask 022

# Mounts live in a private namespace: whatever happens, none outlives this script.
[ -n "${SLUICE_IMAGES_PRIVATE:-}" ] || SLUICE_IMAGES_PRIVATE=1 exec unshare --mount --propagation private "$0" "$@"

stamp=$(cat "$here"/build.sh "$here"/*.py | sha256sum | cut -d' ' -f1)
mkdir -p "$work" "$layers" "$packages" "$logs" "$stamps"
exec 9>"$root/lock" && flock 9

# What apt leaves behind that differs from run to run, below DIRECTORY.
forget_history() {
  (cd "$1" && rm -f var/log/{dpkg,alternatives,bootstrap}.log var/log/apt/* var/cache/ldconfig/aux-cache \
    var/cache/debconf/*-old var/lib/dpkg/*-old var/cache/apt/*.bin)
}

build_base() {
  local sources=() tree=$work/base
  mapfile -t sources < <(find /etc/apt/sources.list /etc/apt/sources.list.d -type f \( -name '*.list' -o -name '*.sources' \) -size +0 2>/dev/null)
  rm -rf "$tree" "$work/lists" && mkdir -p "$tree"
  # shellcheck disable=SC2016 # the hooks' "$1" is mmdebstrap's
  mmdebstrap --variant=minbase --mode=root --skip=cleanup/apt/lists \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io \
    --setup-hook='mkdir -p "$1/var/cache/apt/archives" && mount --bind '"'$packages'"' "$1/var/cache/apt/archives"' \
    --skip=cleanup/apt/cache --customize-hook='umount "$1/var/cache/apt/archives"' \
    "$suite" "$tree" "${sources[@]}" >"$logs/base.log" 2>&1 || { tail -20 "$logs/base.log" >&2; return 1; }
  mv "$tree/var/lib/apt/lists" "$work/lists" && mkdir -p "$tree/var/lib/apt/lists/partial"
  rm -f "$tree"/etc/{resolv.conf,hostname}
  forget_history "$tree"
  printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d" && chmod 755 "$tree/usr/sbin/policy-rc.d"
  "$here/layer.py" "$tree" "$layers/base.tar"
}

# layer NAME 'LOWER…' SCRIPT: what SCRIPT changes on top of the lower layers (topmost first) becomes layers/NAME.tar.
# SCRIPT runs in a chroot; `get PACKAGE…` installs.
layer() {
  local name=$1 lower upper=$work/$1 mounted=$work/mounted made_resolver=
  lower=$(printf "$work/%s:" $2) lower=${lower%:}
  rm -rf "$upper" "$work/overlay" && mkdir -p "$upper" "$work/overlay" "$mounted"
  mount -t overlay overlay "$mounted" \
    -o "lowerdir=$lower,upperdir=$upper,workdir=$work/overlay,index=off,metacopy=off,redirect_dir=off,xino=off"
  mount --bind "$packages" "$mounted/var/cache/apt/archives"
  mount --bind "$work/lists" "$mounted/var/lib/apt/lists"
  mount -t proc proc "$mounted/proc"
  mount -t tmpfs tmpfs "$mounted/tmp" && mount -t tmpfs tmpfs "$mounted/run" && mount --rbind /dev "$mounted/dev"
  [ -e "$mounted/etc/resolv.conf" ] || { touch "$mounted/etc/resolv.conf" && made_resolver=1; }
  mount --bind /etc/resolv.conf "$mounted/etc/resolv.conf"
  {
    echo 'set -e; export DEBIAN_FRONTEND=noninteractive'
    echo 'quiet="-o APT::Keep-Downloaded-Packages=true -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io"'
    echo 'get() { apt-get $quiet install -y --no-install-recommends "$@"; }'
    echo "$3"
  } >"$mounted/tmp/script"
  chroot "$mounted" /bin/bash /tmp/script >"$logs/$name.log" 2>&1 9>&- || { tail -20 "$logs/$name.log" >&2; return 1; }
  umount "$mounted/etc/resolv.conf"
  [ -z "$made_resolver" ] || rm "$mounted/etc/resolv.conf"
  umount -R "$mounted"/{dev,run,tmp,proc,var/lib/apt/lists,var/cache/apt/archives}
  forget_history "$mounted"
  umount "$mounted"
  "$here/layer.py" --lower "$lower" "$upper" "$layers/$name.tar"
}

# image TAG COMMAND(JSON) LAYER[:gzip|:zstd|:none]…
image() { "$here/image.py" "$root/oci" "$layers" "$@"; }

do_base() {
  build_base
  image base '["/bin/bash"]' base
}

do_python() { # prints a line and exits
  layer python base 'get python3'
  layer pyapp 'python base' 'mkdir /app; printf "%s\n" "import json, http.server, ssl, sqlite3" "print(\"hello from python\")" >/app/app.py'
  image python '["/usr/bin/python3", "/app/app.py"]' base python pyapp
}

do_node() { # prints a line and exits
  layer node base 'get nodejs'
  layer nodeapp 'node base' "mkdir /app; echo 'require(\"http\"); require(\"crypto\"); console.log(\"hello from node\");' >/app/app.js"
  image node '["/usr/bin/node", "/app/app.js"]' base node nodeapp
}

do_nginx() { # answers HTTP on 18080
  layer nginx base 'get nginx'
  layer nginxconf 'nginx base' '
    echo hello-nginx >/var/www/html/index.html
    ln -sf /dev/stdout /var/log/nginx/access.log
    ln -sf /dev/stderr /var/log/nginx/error.log
    sed -i "s/listen 80 /listen 18080 /; s/listen \[::\]:80 .*//" /etc/nginx/sites-available/default'
  image nginx '["nginx", "-g", "daemon off;"]' base nginx nginxconf
}

do_redis() { # answers PING on 16379
  layer redis base 'get redis-server'
  image redis '["redis-server", "--port", "16379", "--save", ""]' base redis
}

do_upgrade() { # an upper layer that deletes, replaces and upgrades: whiteouts, an opaque directory, a file capability
  layer up1 base '
    mkdir -p /var/lib/fakelists /opt/opq/sub
    cp -a /var/lib/apt/lists/*Packages* /var/lib/fakelists/ || true
    echo a >/opt/opq/a; echo b >/opt/opq/b; echo c >/opt/opq/sub/c
    get iputils-ping libcap2-bin
    setcap cap_net_raw+ep /usr/bin/ping'
  layer up2 'up1 base' '
    rm -rf /var/lib/fakelists /opt/opq; mkdir /opt/opq; echo new >/opt/opq/new
    rm -f /usr/share/doc/tar/copyright
    get less; apt-get $quiet remove -y less'
  image upgrade '["/bin/ls", "-laR", "/opt"]' base up1 up2
}

do_edge() {
  "$here/edge.py" edge "$layers"
  image edge '["/bin/ls", "-la", "/edge"]' base edge-pax edge-gnu:zstd edge-v7:none edge-ustar edge-paxsparse edge-wh
}

do_odd() {
  "$here/edge.py" odd "$layers"
  image odd '["/none"]' odd-gnu odd-pax00 odd-pax01 odd-pax10 odd-links
}

names=("$@")
[ $# -gt 0 ] || names=(base python node nginx redis upgrade edge odd)
for name in base "${names[@]}"; do
  [ "$(cat "$stamps/$name" 2>/dev/null)" != "$stamp" ] || { [ "$name" = base ] && [ ! -d "$work/base" ]; } || continue
  rm -f "$stamps/$name"
  "do_$name"
  echo "$stamp" >"$stamps/$name"
done
