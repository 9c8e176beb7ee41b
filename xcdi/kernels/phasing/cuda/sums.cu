// One number from all threads of a block, for any number of threads: the same bits in whatever order they run, and no atomics.

#define MOST_THREADS 1024

struct Sum {
    template <typename T> __device__ T operator()(T a, T b) const { return a + b; }
};

struct Larger {
    template <typename T> __device__ T operator()(T a, T b) const { return a > b ? a : b; }
};

// Thread 0 gets the result. `shared` holds one value per thread, and may be used again after the next barrier.
template <typename T, typename Join> __device__ T over_block(T mine, T* shared, Join join)
{
    shared[threadIdx.x] = mine;
    for (unsigned live = blockDim.x; live > 1;) {
        const unsigned half = (live + 1) / 2;
        __syncthreads();
        if (threadIdx.x < live / 2) shared[threadIdx.x] = join(shared[threadIdx.x], shared[threadIdx.x + half]);
        live = half;
    }
    return shared[0];
}

// Blocks of one start lie along x, starts along y.
#define EACH_VOXEL(i, n) \
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (long long)gridDim.x * blockDim.x)
#define OF_THIS_START(n) ((long long)blockIdx.y * (n))
#define OF_THIS_BLOCK ((long long)blockIdx.y * gridDim.x + blockIdx.x)
