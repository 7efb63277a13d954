"""Runs a model of PyTorch or Keras on probes, and writes what every layer took and gave.

python3 run_model.py JOB.json

The job is JSON: framework, model (module:factory, or nothing where the file holds its architecture), weights (the file:
safetensors for PyTorch, Keras' own for Keras), probes (safetensors: N/INPUT), out, bytesMax. The answer is
safetensors: N/y/OUTPUT, N/l/LAYER/in and N/l/LAYER/out; its metadata says the layers' names, the digests of their
weights, and the engine. A weights file is data here: no pickle is loaded, and Keras deserialises in its safe mode.
Exit code 3: a framework is missing; 4: the model does not fit or does not run, or its code imports what is not there.
"""

import hashlib
import importlib
import json
import os
import struct
import sys
import traceback

DTYPES = {
    "F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1",
    "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "?",
}

FRAMEWORKS = ("torch", "keras", "tensorflow", "numpy")


class Unfit(Exception):
    """The model and its weights or probes do not fit; the text is for a person."""


def load(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def save(path, tensors, metadata):
    header, end = {"__metadata__": metadata}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [end, end + value.nbytes]}
        end += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            file.write(value.tobytes())


class Trace:
    """What layers took and gave: the first call of each within a probe."""

    def __init__(self, bytes_max):
        self.tensors, self.left, self.layers = {}, bytes_max, {}

    def keep(self, name, value):
        array = np.array(value, "<f4", order="C", copy=True)
        self.left -= array.nbytes
        if self.left < 0:
            raise Unfit("its layers give more values than are kept; take smaller probes")
        self.tensors[name] = array

    def layer(self, probe, name, weights, given, made):
        place = self.layers.setdefault(name, (len(self.layers), weights()))[0]
        if f"{probe}/l/{place}/out" in self.tensors:
            return
        if given is not None:
            self.keep(f"{probe}/l/{place}/in", given)
        self.keep(f"{probe}/l/{place}/out", made)

    def metadata(self, engine):
        layers = [{"name": name, "weights": weights} for name, (_, weights) in self.layers.items()]
        return {"layers": json.dumps(layers), "framework": engine}


def bound(bytes_max):
    """No core dump, and no file larger than the answer may be."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * bytes_max, 2 * bytes_max))


def built(entry):
    module, _, factory = entry.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        made = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name in (module, module.split(".")[0]):
            raise Unfit(f"there is no module {module} in the folder or among the packages of this Python") from error
        raise
    for part in (factory or "model").split("."):
        if not hasattr(made, part):
            raise Unfit(f"{module} has no {part}")
        made = getattr(made, part)
    is_model = hasattr(made, "state_dict") or hasattr(made, "get_weights")
    return made if is_model and not isinstance(made, type) else made()


def leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [one for part in value for one in leaves(part)] if isinstance(value, (list, tuple)) else [value]


def probes_of(job):
    held = load(job["probes"])
    return [[held[f"{nth}/{place}"] for place in range(len(ids))] for nth, ids in enumerate(job["ids"])]


def run_pytorch(job):
    import torch

    if not job.get("model"):
        raise Unfit("a state_dict holds no graph; name the code of the model, module:factory")
    torch.manual_seed(0)
    model = built(job["model"])
    if not isinstance(model, torch.nn.Module):
        raise Unfit(f"{job['model']} gives {type(model).__name__}, which is no torch.nn.Module")
    state = {name: torch.from_numpy(np.array(value)) for name, value in load(job["weights"]).items()}
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise Unfit(" ".join(str(error).split())) from error
    model = model.float().eval()
    if hasattr(torch.backends, "mha"):
        # The fast path of attention runs no layer by itself.
        torch.backends.mha.set_fastpath_enabled(False)
    trace, now = Trace(job["bytesMax"]), [0]

    def array(value):
        return value.detach().to(torch.float32).cpu().numpy() if isinstance(value, torch.Tensor) else None

    def before(module, given):
        # Before it runs: a layer may work in place.
        module._consilium_given = np.array(array(given[0])) if given and array(given[0]) is not None else None

    def after(name):
        def hook(module, given, made):
            first = leaves(made)[0]
            if isinstance(first, torch.Tensor):
                trace.layer(now[0], name, list, module._consilium_given, array(first))

        return hook

    for name, module in model.named_modules():
        own = next(module.parameters(recurse=False), None) is not None
        if name and (own or next(module.children(), None) is None):
            module.register_forward_pre_hook(before)
            module.register_forward_hook(after(name))
    with torch.no_grad():
        for nth, (inputs, ids) in enumerate(zip(probes_of(job), job["ids"])):
            now[0] = nth
            given = [torch.from_numpy(np.array(x)) for x in inputs]
            made = model(*[x.long() if whole else x for x, whole in zip(given, ids)])
            for place, value in enumerate(one for one in leaves(made) if isinstance(one, torch.Tensor)):
                trace.keep(f"{nth}/y/{place}", array(value))
    return trace, f"pytorch {torch.__version__}"


def run_keras(job):
    import keras

    path = job["weights"]
    if job.get("model"):
        model = built(job["model"])
    elif path.endswith(".weights.h5"):
        raise Unfit("a .weights.h5 holds no architecture; name the code of the model, module:factory")
    else:
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:
            raise Unfit(f"Keras does not load it: {' '.join(str(error).split())[:500]}") from error
    trace, now = Trace(job["bytesMax"]), [0]

    def array(value):
        try:
            return np.array(keras.ops.convert_to_numpy(value), "<f4")
        except Exception:
            return None

    def digests(layer):
        return [hashlib.sha256(array(one).tobytes()).hexdigest() for one in layer.weights]

    def traced(layer):
        call, linear = layer.call, keras.activations.linear

        def wrapped(*given, **named):
            # An activation that is part of a layer stands behind it in other frameworks.
            fused = getattr(layer, "activation", None)
            fused = None if hasattr(layer, "cell") or isinstance(layer, keras.layers.Activation) else fused
            plain = None
            if fused is not None and fused is not linear and layer.weights:
                layer.activation = linear
                try:
                    plain = call(*given, **named)
                finally:
                    layer.activation = fused
            made = call(*given, **named)
            first = array(leaves(made if plain is None else plain)[0])
            if first is not None:
                trace.layer(now[0], layer.name, lambda: digests(layer), array(leaves(given)[0]) if given else None, first)
            return made

        layer.call = wrapped

    inputs_of = probes_of(job)

    def shaped(nth):
        kinds = zip(inputs_of[nth], job["ids"][nth])
        given = [keras.ops.convert_to_tensor(x.astype("int32") if whole else x) for x, whole in kinds]
        return given[0] if len(given) == 1 else given

    if job.get("model"):
        model(shaped(0), training=False)
        model.load_weights(path)
    def parts_of(layer):
        # A recurrent layer has a cell within, attention its projections: of both, the whole is what counts.
        own = [] if hasattr(layer, "cell") or "Attention" in type(layer).__name__ else layer._layers
        return [leaf for part in own for leaf in parts_of(part)] or [layer]

    for layer in parts_of(model):
        traced(layer)
    for nth in range(len(job["ids"])):
        now[0] = nth
        made = model(shaped(nth), training=False)
        for place, value in enumerate(leaves(made)):
            trace.keep(f"{nth}/y/{place}", array(value))
    return trace, f"keras {keras.__version__}"


try:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np

    with open(sys.argv[1]) as file:
        job = json.load(file)
    bound(job["bytesMax"])
    found, engine = {"pytorch": run_pytorch, "keras": run_keras}[job["framework"]](job)
    save(job["out"], found.tensors, found.metadata(engine))
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] in FRAMEWORKS:
        print(f"No module named '{error.name}'", file=sys.stderr)
        sys.exit(3)
    importer = os.path.basename(traceback.extract_tb(error.__traceback__)[-1].filename)
    print(f"{importer} imports {error.name}, which is not found", file=sys.stderr)
    sys.exit(4)
except Unfit as error:
    print(error, file=sys.stderr)
    sys.exit(4)
except MemoryError:
    print("it needs more memory than it may have", file=sys.stderr)
    sys.exit(4)
except Exception as error:
    where = error.__traceback__
    while where.tb_next:
        where = where.tb_next
    place = f"{os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}"
    print(f"{type(error).__name__}: {' '.join(str(error).split())[:600]} ({place})", file=sys.stderr)
    sys.exit(4)
