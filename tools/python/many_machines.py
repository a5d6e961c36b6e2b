"""Measures the overhead of workers, Ray and its scheduler: python tools/python/many_machines.py WHAT … (needs candor-xai[ray])

    scaling MODEL PHOTOS [COUNT]     two workers of one thread against one, by processes and by Ray, for Grad-CAM and the mask
    overhead MODEL PHOTOS [COUNT]    Ray with one worker against a loop over Model.explain, at 0.2 s per photo and more
    nothing [COUNT] [BATCH]          a worker that does nothing: photos per second, memory of the driver, object store
    size MODEL PHOTOS [COUNT]        bytes of rows per photo, by form of the map

PHOTOS is a folder. Each ratio is of two values from one run, measured in alternation. The load of the machine is printed.
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import candor
import candor.batch
import candor.ray
import numpy as np

METHODS = [("grad-cam", {}), ("reliable", {"iterations": 10, "look": 0})]


def photos_of(folder, count):
    return [str(p) for p in sorted(Path(folder).rglob("*.*")) if p.suffix.lower() in candor.ray.SUFFIXES][:count]


def load():
    return " ".join(f"{n:.2f}" for n in os.getloadavg())


def start(cpus=2):
    import ray

    return ray.init(num_cpus=cpus, include_dashboard=False, object_store_memory=200 << 20, log_to_driver=False, configure_logging=False)


def processor(pid):
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def work(model, method, options, photos, ready, go, seconds):
    """One process: opens the model, waits for the start, and is timed from then on."""
    worker = candor.batch.Worker(model, "top1", method, probe=False, **options)
    worker({"photo": photos[:1]})
    before = processor(worker._process.pid)
    ready.release()
    go.wait()
    begin = time.monotonic()
    for i in range(0, len(photos), 8):
        worker({"photo": photos[i : i + 8]})
    seconds.put((time.monotonic() - begin, processor(worker._process.pid) - before))


def by_processes(count, *arguments):
    """Seconds from the start of work to the end of the last process, and CPU seconds."""
    *asked, photos = arguments
    context = get_context("spawn")
    ready, go, seconds = context.Semaphore(0), context.Event(), context.Queue()
    shares = [photos[i::count] for i in range(count)]
    processes = [context.Process(target=work, args=(*asked, share, ready, go, seconds)) for share in shares]
    [process.start() for process in processes]
    [ready.acquire() for _ in processes]
    go.set()
    found = [seconds.get() for _ in processes]
    [process.join() for process in processes]
    return max(wall for wall, _ in found), sum(taken for _, taken in found)


def by_ray(count, model, method, options, photos, batch=8):
    """Seconds from the first result to the last, and the photos in between, which leaves out the start of Ray and of the model; seconds of the call."""
    out, told = tempfile.mkdtemp(), []
    begin = time.monotonic()
    keys = {"probe": False, "actors": count, "batch": batch, **options}
    candor.ray.explain(photos, model, "top1", method, out=out, progress=lambda done, total: told.append((time.monotonic(), done)), **keys)
    whole = time.monotonic() - begin
    shutil.rmtree(out)
    return (told[-1][0] - told[0][0]) / (told[-1][1] - told[0][1]) * len(photos), whole


def scaling(model, folder, count="200"):
    photos = photos_of(folder, int(count))
    for method, options in METHODS:
        (one, cpu_one), (two, cpu_two) = (by_processes(n, model, method, options, photos) for n in (1, 2))
        print(
            f"{method}, {len(photos)} photos, processes: one {one:.1f} s, two {two:.1f} s: {one / two:.2f} times; of the processor {cpu_one:.1f} s "
            f"and {cpu_two:.1f} s, which allows {2 * cpu_one / cpu_two:.2f} times; load {load()}", flush=True
        )
    start()
    for method, options in METHODS:
        one, two = (by_ray(n, model, method, options, photos)[0] for n in (1, 2))
        print(f"{method}, {len(photos)} photos, Ray: one {one:.1f} s, two {two:.1f} s: {one / two:.2f} times; load {load()}", flush=True)


def overhead(model, folder, count="60"):
    photos = photos_of(folder, int(count))
    start(1)
    opened = candor.load(model, threads=1) if isinstance(model, str) else model
    for options in ({"iterations": 10, "look": 0}, {"iterations": 20, "look": 0}):
        opened.explain(photos[0], "top1", "reliable", probe=False, **options)
        begin = time.monotonic()
        for photo in photos:
            opened.explain(photo, "top1", "reliable", probe=False, **options)
        bare = time.monotonic() - begin
        steady, whole = by_ray(1, model, "reliable", options, photos)
        print(f"{bare / len(photos):.3f} s a photo: Ray {steady / bare:.3f} of the loop's time; with its start {whole - steady:.1f} s more; load {load()}", flush=True)


class Nothing:
    """Replaces the worker that writes."""

    def __init__(self, keys, out, key):
        pass

    def __call__(self, batch):
        n = len(batch["photo"])
        zero = np.zeros(1, np.int64)
        return {"photos": np.array([n]), "rows": zero, "errors": zero, "failure": np.array([b""], dtype=object)}


def nothing(count="50000", batch="16"):
    start()
    candor.ray._Writer = Nothing
    photos = [f"/data/photos/{i // 1000:05}/{i:08}.jpg" for i in range(int(count))]
    told, resident, stores, over = [], [], [], threading.Event()

    def watch():
        while not over.is_set():
            resident.append((time.monotonic(), memory()))
            stores.append(store())
            time.sleep(1)

    def progress(done, total):
        if not told:
            threading.Thread(target=watch, daemon=True).start()
        told.append((time.monotonic(), done))

    before, begin = memory(), time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        found = candor.ray.explain(photos, candor.scenes.model(), "top1", "grad-cam", out=out, actors=2, batch=int(batch), progress=progress)
    over.set()
    seconds = told[-1][0] - told[0][0]
    print(f"{found.photos} photos in blocks of {batch}: {len(told) / seconds:.0f} blocks a second, {found.photos / seconds:.0f} photos; {time.monotonic() - begin:.0f} s in all")
    thirds = [np.median([m for t, m in resident if told[0][0] + seconds * k / 3 <= t <= told[0][0] + seconds * (k + 1) / 3]) for k in range(3)]
    print(f"driver: {before:.0f} MB before, {thirds[0]:.0f}, {thirds[1]:.0f}, {thirds[2]:.0f} MB in the thirds of the run, at most {max(m for _, m in resident):.0f}")
    print(f"object store: at most {max(stores):.1f} MB; load {load()}")


def memory():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def store():
    """Megabytes of the object store in use."""
    import ray

    there, free = ray.cluster_resources(), ray.available_resources()
    plasma = [p for p in Path("/dev/shm").glob("plasma*")]
    taken = sum(p.stat().st_blocks * 512 for p in plasma) / 2**20 if plasma else 0
    return max(taken, (there.get("object_store_memory", 0) - free.get("object_store_memory", 0)) / 2**20)


def size(model, folder, count="32"):
    photos = photos_of(folder, int(count))
    from candor._place import Place

    for maps in ("float16", "png", "none"):
        for classes in (["top1"], ["top1", "lowest"]):
            with tempfile.TemporaryDirectory() as out:
                worker = candor.batch.Worker(model, classes, "reliable", maps=maps, iterations=10, look=0)
                place = Place(out)
                place.begin(worker.configuration)
                for i in range(0, len(photos), 16):
                    place.write(place.name(photos[i : i + 16], worker.key), worker({"photo": photos[i : i + 16]}))
                taken = sum(p.stat().st_size for p in Path(out).glob("part-*"))
                print(f"{maps}, {len(classes)} classes: {taken / len(photos) / 1024:.1f} kB a photo", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("scaling", "overhead", "nothing", "size"):
        sys.exit(__doc__)
    globals()[sys.argv[1]](*sys.argv[2:])
