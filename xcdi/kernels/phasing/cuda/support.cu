// The support from the blurred modulus. Twins: modulus, peak, rms_inside and redraw of twins.py.

extern "C" __global__ void modulus(const float2* __restrict__ rho, float* __restrict__ out, long long n)
{
    EACH_VOXEL(i, n)
    {
        const float2 value = rho[OF_THIS_START(n) + i];
        out[OF_THIS_START(n) + i] = sqrtf(value.x * value.x + value.y * value.y);
    }
}

// Largest value of every block; values are not below zero, but for rounding.
extern "C" __global__ void peak(const float* __restrict__ blurred, float* __restrict__ largest, long long n)
{
    __shared__ float shared[MOST_THREADS];
    float mine = 0.0f;
    EACH_VOXEL(i, n) mine = fmaxf(mine, blurred[OF_THIS_START(n) + i]);
    const float most = over_block(mine, shared, Larger());
    if (threadIdx.x == 0) largest[OF_THIS_BLOCK] = most;
}

// Sum of squares inside the support, and its size, of every block.
extern "C" __global__ void power_inside(const float* __restrict__ blurred, const bool* __restrict__ support, float* __restrict__ power,
                                        int* __restrict__ size, long long n)
{
    __shared__ float squares[MOST_THREADS];
    __shared__ int counts[MOST_THREADS];
    float mine = 0.0f;
    int voxels = 0;
    EACH_VOXEL(i, n)
    {
        const float value = blurred[OF_THIS_START(n) + i];
        const bool inside = support[OF_THIS_START(n) + i];
        mine += inside ? value * value : 0.0f;
        voxels += inside ? 1 : 0;
    }
    const float total = over_block(mine, squares, Sum());
    const int many = over_block(voxels, counts, Sum());
    if (threadIdx.x == 0) {
        power[OF_THIS_BLOCK] = total;
        size[OF_THIS_BLOCK] = many;
    }
}

// Voxels of every block above the level of its start.
extern "C" __global__ void count_above(const float* __restrict__ blurred, const float* __restrict__ level, int* __restrict__ size,
                                       long long n)
{
    __shared__ int counts[MOST_THREADS];
    const float limit = level[blockIdx.y];
    int voxels = 0;
    EACH_VOXEL(i, n) voxels += blurred[OF_THIS_START(n) + i] > limit ? 1 : 0;
    const int many = over_block(voxels, counts, Sum());
    if (threadIdx.x == 0) size[OF_THIS_BLOCK] = many;
}

// The voxels above the level become the support, start by start, where they are `least` or more.
extern "C" __global__ void redraw(const float* __restrict__ blurred, const float* __restrict__ level, const long long* __restrict__ size,
                                  long long least, bool* __restrict__ support, long long n)
{
    if (size[blockIdx.y] < least) return;
    const float limit = level[blockIdx.y];
    EACH_VOXEL(i, n) support[OF_THIS_START(n) + i] = blurred[OF_THIS_START(n) + i] > limit;
}
