package eplb

import (
	"slices"
	"unsafe"
)

// Cluster is what sets GPUs apart, each slice by GPU. Where a slice is nil, GPUs are equal in this respect.
type Cluster struct {
	// How many slots a GPU has, up to NumSlots / NumGPUs of the problem. Those that it lacks are closed, and -1 in all maps.
	// A GPU without slots holds nothing: it is dead, or being drained.
	Slots []int
	// How fast a GPU is: positive, and only ratios matter. The time of a GPU is its load over its speed, and imbalance is
	// over times.
	Speeds []float64
	// The node of a GPU, below NumNodes of the problem. Where it is nil, consecutive GPUs are on a node.
	Nodes []int
}

// UploadCluster copies the cluster into the context: it is part of every later solve and evaluation, whose problem must
// have its number of GPUs, until the next one or ForgetCluster. A plan that was solved before is discarded, but not after
// an error.
//
// Errors: ErrInvalidArgument, naming the GPU, for values that cannot be, and for slices of different lengths.
func (c *Context) UploadCluster(cluster Cluster) error {
	gpus := max(len(cluster.Slots), len(cluster.Speeds), len(cluster.Nodes))
	if gpus == 0 {
		return errorf(ErrInvalidArgument, "the cluster has no Slots, Speeds or Nodes: ForgetCluster makes GPUs equal")
	}
	for _, slice := range []struct {
		name   string
		length int
	}{{"Slots", len(cluster.Slots)}, {"Speeds", len(cluster.Speeds)}, {"Nodes", len(cluster.Nodes)}} {
		if slice.length != 0 && slice.length != gpus {
			return errorf(ErrInvalidArgument, "%s has %d values, must have one for each of %d GPUs", slice.name, slice.length, gpus)
		}
	}
	return c.uploadCluster(cluster, gpus)
}

// ForgetCluster ends what UploadCluster began. A plan that was solved before is discarded.
func (c *Context) ForgetCluster() error { return c.uploadCluster(Cluster{}, 0) }

func (c *Context) uploadCluster(cluster Cluster, gpus int) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	slots, nodes := wide(cluster.Slots), wide(cluster.Nodes)
	status := c.library.call.UploadCluster(c.handle, unsafe.SliceData(slots), unsafe.SliceData(cluster.Speeds),
		unsafe.SliceData(nodes), int64(gpus), &c.err)
	if status == 0 {
		c.hasCluster, c.gpuNodes = gpus > 0, slices.Clone(cluster.Nodes)
		c.changes++
	}
	return c.check(status)
}

// nodes are those of the GPUs: consecutive ones are on a node unless the cluster says otherwise.
func (c *Context) nodes(gpus, numNodes int) []int {
	if c.gpuNodes != nil {
		return c.gpuNodes
	}
	nodes := make([]int, gpus)
	for gpu := range nodes {
		nodes[gpu] = gpu * numNodes / gpus
	}
	return nodes
}

// wide is nil for nil.
func wide(values []int) []int64 {
	var all []int64
	for _, value := range values {
		all = append(all, int64(value))
	}
	return all
}
