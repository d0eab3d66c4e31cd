#!/usr/bin/env bash
# Open MPI 4.1.4 over TCP: two ranks that send each other 16 MiB at once with MPI_Iallgatherv use one direction of the link after the other, if
# one of them begins a few milliseconds later and calls MPI meanwhile; with MPI_Isend before MPI_Irecv they use both directions at once.
#
# Debian 12: openmpi-bin 4.1.4-3+b1, python3-mpi4py 3.1.4-2+b2, between two network namespaces with 400 Mbit/s each way: the collective, and
# receives begun before sends, take about twice the time of sends begun before receives. Whoever is late has the other's announcement
# already, answers it when it begins to receive, and only then announces its own part; its peer gets the answer first, puts all its bytes into the
# connection, and the answer to the second announcement behind them. Needs root, ip, tc, and unshare (iproute2, util-linux), and NumPy.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo 'needs root, for network namespaces' && exit 2; }
work=$(mktemp -d)
a=fa$$ b=fb$$
trap 'for n in $a $b; do ip netns pids $n 2>/dev/null | xargs -r kill -9 || true; ip netns del $n 2>/dev/null || true; rm -rf /etc/netns/$n; done; rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq openmpi-bin=4.1.4-3+b1 libopenmpi3=4.1.4-3+b1 openmpi-common=4.1.4-3 python3-mpi4py=3.1.4-2+b2 libpmix2 libhwloc15 \
  libevent-core-2.1-7 libevent-pthreads-2.1-7 libucx0 libfabric1 libibverbs1 librdmacm1 libpsm-infinipath1 libpsm2-2 libnl-3-200 \
  libnl-route-3-200 libmunge2 >/dev/null 2>&1
for file in ./*.deb; do dpkg -x "$file" tree; done
lib=$work/tree/usr/lib/$(uname -m)-linux-gnu
export OPAL_PREFIX=$lib/openmpi OMPI_MCA_mca_base_component_path=$lib/openmpi/lib/openmpi3 LD_LIBRARY_PATH=$lib
export PATH=$work/tree/usr/bin:$PATH PYTHONPATH=$work/tree/usr/lib/python3/dist-packages
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpirun=$work/tree/usr/bin/mpirun.openmpi

ip netns add $a
ip netns add $b
ip link add ${a}0 type veth peer name ${b}0
i=0
for n in $a $b; do
  i=$((i + 1))
  ip link set ${n}0 netns $n name eth0
  ip -n $n addr add 10.79.0.$i/24 dev eth0
  ip -n $n link set eth0 up
  ip -n $n link set lo up
  ip netns exec $n tc qdisc replace dev eth0 root tbf rate 400mbit burst 262144 latency 50ms
  mkdir -p /etc/netns/$n
  printf '127.0.0.1 localhost\n10.79.0.1 %s\n10.79.0.2 %s\n' $a $b >/etc/netns/$n/hosts
done
cat >agent <<'SH'
#!/bin/sh
while case "$1" in -*) true ;; *) false ;; esac; do shift; done
host=$1
shift
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$1"; shift; exec sh -c "$*"' sh "$host" "$@"
SH
chmod +x agent
cat >exchange.py <<'PY'
import time
import numpy
from mpi4py import MPI

world = MPI.COMM_WORLD
rank, other = world.rank, 1 - world.rank
count = 2**24
both = numpy.zeros(2 * count, 'u1')
sent, got = both[rank * count :][:count], both[other * count :][:count]


def receives_first():
    return [world.Irecv(got, other), world.Isend(sent, other)]


def sends_first():
    return [world.Isend(sent, other), world.Irecv(got, other)]


def collective():
    return [world.Iallgatherv(MPI.IN_PLACE, [both, [count, count], [0, count], MPI.BYTE])]


def seconds(begin):
    times = []
    for _ in range(5):
        world.Barrier()
        late = time.perf_counter() + 0.005
        while rank == 1 and time.perf_counter() < late:
            world.Iprobe()
        start = time.perf_counter()
        requests = begin()
        while not MPI.Request.Testall(requests):
            time.sleep(0.00005)
        times.append(world.allreduce(time.perf_counter() - start, MPI.MAX))
    return sorted(times)[2]


sends_first()
world.Barrier()
base = seconds(sends_first)
for begin in (collective, receives_first):
    ratio = seconds(begin) / base
    if rank == 0:
        print(begin.__name__, f'{ratio:.2f} times as long as sends first, which took {base:.2f} s;', 'about twice' if 1.6 < ratio < 2.4 else 'not twice')
if rank == 0:
    print(MPI.Get_library_version().split(',')[0])
PY
seen=$(ip netns exec $a unshare --uts sh -c 'hostname "$1"; shift; exec "$@"' sh $a "$mpirun" --bind-to none --mca plm_rsh_agent "$work/agent" \
  -x LD_LIBRARY_PATH -x PYTHONPATH -x OPAL_PREFIX --mca btl tcp,self --mca pml ob1 -host $a:1,$b:1 -n 2 /usr/bin/python3 exchange.py 2>&1) || true
echo "$seen"
[ "$(grep -c 'about twice$' <<<"$seen")" = 2 ] && grep -q 'Open MPI v4.1.4' <<<"$seen"
