// Real space. Twin: update of twins.py. p inside the support, a * rho + b * p outside.

extern "C" __global__ void update(float2* __restrict__ rho, const float2* __restrict__ p, const bool* __restrict__ support, float a,
                                  float b, long long n)
{
    float2* __restrict__ object = rho + OF_THIS_START(n);
    const float2* __restrict__ projected = p + OF_THIS_START(n);
    const bool* __restrict__ inside = support + OF_THIS_START(n);
    const bool feedback = a != 0.0f;  // the old object is read only where it is needed
    EACH_VOXEL(i, n)
    {
        const float2 taken = projected[i];
        const bool keep = inside[i];
        const float2 old = feedback && !keep ? object[i] : make_float2(0.0f, 0.0f);
        object[i] = keep ? taken : make_float2(a * old.x + b * taken.x, a * old.y + b * taken.y);
    }
}
